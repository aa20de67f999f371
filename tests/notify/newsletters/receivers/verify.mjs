// Reads JSON {"record": a DNS record, "mails": [base64, …]}, and prints for each mail what the signatures in it are worth.
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';

const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const { record, mails } = JSON.parse(Buffer.concat(chunks));
const names = new Set();

async function resolver(name, type) {
  names.add(`${name} ${type}`);
  if (type !== 'TXT' || !name.includes('._domainkey.')) {
    throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
  }
  return [[record]];
}

const found = [];
for (const mail of mails) {
  const { results, headerFrom } = await dkimVerify(Buffer.from(mail, 'base64'), { resolver, minBitLength: 2048 });
  found.push({
    from: headerFrom,
    signatures: results.map(({ status, signingDomain, selector, modulusLength, canonBodyLengthLimited }) => ({
      result: status.result,
      comment: status.comment ?? '',
      aligned: Boolean(status.aligned),
      overSized: status.overSized ?? null,
      underSized: status.underSized ?? null,
      domain: signingDomain,
      selector,
      bits: modulusLength,
      partial: Boolean(canonBodyLengthLimited),
    })),
  });
}
console.log(JSON.stringify({ found, names: [...names] }));
