"""Signing in with a provider of OpenID Connect through the pages: who gets in, who does not, and hostile providers."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from newswire.observability.audit import COMMAND_LINE, read_page
from newswire.users.roles import Role
from newswire_ingest.openid import bounded_http, discovery
from newswire_ingest.openid.providers import CreationRule, OpenIdProvider, check_names, is_acceptable, read_providers
from newswire_ingest.settings import IngestSettings
from tests.ingest.users.conftest import Browser, Desk, MakeUser
from tests.ingest.users.openid_provider import (
    COMPRESSED,
    KEY,
    NEW_KEY,
    NEXT_KEY,
    OTHER_KEY,
    Provider,
    running_provider,
    sign_with,
    signed_by_hand,
    third_party_provider,
)
from tests.ingest.users.test_account_pages import age_sessions


@dataclass
class Staff:
    """A site whose users can sign in with a provider, called ``staff``."""

    desk: Desk
    provider: Provider

    def site(self, **settings: Any) -> Desk:
        """Return a fresh process of the site, which knows nothing of the provider yet."""
        own = {"name": "staff", "label": "Harbour SSO", "issuer": self.provider.issuer, "client_id": "newswire"}
        named = OpenIdProvider(**own | {"client_secret": SecretStr("s/cret")} | settings)
        ingest = self.desk.ingest.with_settings(
            public_url=self.desk.ingest.settings.public_url, openid_providers=[named]
        )
        return Desk(ingest, self.desk.service, self.desk.browsers)

    async def acts(self) -> list[str]:
        """Return the acts of the audit log on users, oldest first."""
        page = await read_page(self.desk.ingest.redis, self.desk.ingest.keys, limit=50)
        return [each.act for each in reversed(page.entries) if each.act.startswith("user.")]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with running_provider() as found:
        yield found


@pytest.fixture
def staff(desk: Desk, provider: Provider) -> Staff:
    return Staff(desk, provider)


async def leave(browser: Browser, path: str = "/sign-in/openid/staff") -> str:
    """Press the button of the provider; return the address to which the page leads."""
    page = await browser.post(path, follow=False)
    assert page.status_code == 200, page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    return page.headers["refresh"].removeprefix("0; url=")


async def come_back(address: str) -> str:
    """Sign in at the provider; return the path to which it sends the browser back."""
    async with httpx.AsyncClient() as http:
        answer = await http.get(address)
    url = httpx.URL(answer.headers["location"])
    assert url.host == "news.example"
    return url.raw_path.decode()


async def sign_in(browser: Browser, path: str = "/sign-in/openid/staff") -> httpx.Response:
    return await browser.get(await come_back(await leave(browser, path)))


async def test_a_user_is_linked_by_its_verified_address_and_later_by_its_subject(staff: Staff, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    site = staff.site()
    browser = site.browser()
    assert "Sign in with Harbour SSO" in (await browser.get("/sign-in")).text
    signed_in = await sign_in(browser, "/sign-in/openid/staff?next=%2Faccount")
    assert signed_in.url.path == "/account"
    assert "Harbour SSO" in signed_in.text
    # The person gets another address, which is that of another user: it stays the first one.
    await user("boss@harbour.example", Role.ADMIN)
    staff.provider.person |= {"email": "boss@harbour.example"}
    assert 'href="/users"' not in (await sign_in(site.browser())).text
    # The former address is given to another person: it is not the user.
    staff.provider.person = {"sub": "p-2", "email": "ida@harbour.example", "email_verified": True}
    assert "does not belong to your user" in (await sign_in(site.browser())).text
    acts = [each for each in await staff.acts() if each in ("user.identity_linked", "user.signed_in")]
    assert acts == ["user.identity_linked", "user.signed_in", "user.signed_in"]
    assert await mails_of(staff) == ["identity_linked en"]
    await desk_delete(staff, ida.id)
    assert "no access here" in (await sign_in(site.browser())).text


async def desk_delete(staff: Staff, user_id: str) -> None:
    found = await staff.desk.service.users.find(user_id)
    assert found is not None
    await staff.desk.service.delete(found, by=COMMAND_LINE)
    keys = staff.desk.ingest.keys
    assert await staff.desk.ingest.redis.exists(keys.key("identities"), keys.key("identities", "of", user_id)) == 0


async def test_who_is_nobody_here_gets_in_by_a_rule_alone(staff: Staff) -> None:
    assert "no access here" in (await sign_in(staff.site().browser())).text
    by_domain = CreationRule(account="Harbour Post", roles=[Role.WRITER], domain="HARBOUR.example")
    by_group = CreationRule(account="Harbour Post", roles=[Role.NEWSLETTERS], group="letters")
    elsewhere = CreationRule(account="Nowhere", roles=[Role.WRITER], group="nowhere")
    site = staff.site(create=[by_domain, by_group, elsewhere])
    staff.provider.person |= {"groups": ["nowhere"]}
    assert "no access here" in (await sign_in(site.browser())).text  # there is no such account
    staff.provider.person |= {"groups": ["letters"], "name": "\u202eadI"}
    signed_in = await sign_in(site.browser())
    assert signed_in.url.path == "/desk"
    (made,) = await staff.desk.service.users.list()
    assert (made.email, made.name) == ("ida@harbour.example", "ida")
    assert made.memberships == {"Harbour Post": frozenset({Role.WRITER, Role.NEWSLETTERS})}
    assert await staff.acts() == ["user.created", "user.identity_linked", "user.signed_in"]
    assert await mails_of(staff) == [], "who became a user by signing in knows it"
    staff.provider.person |= {"sub": "p-3", "email": "eve@elsewhere.example", "groups": "letters"}
    assert "no access here" in (await sign_in(site.browser())).text


@pytest.mark.parametrize(
    ("changed", "options", "told"),
    [
        ({"email_verified": False}, {}, "does not confirm"),
        ({"email_verified": "false"}, {}, "does not confirm"),
        ({"email_verified": None}, {}, "does not confirm"),
        ({"email": None}, {}, "does not confirm"),
        ({"email": ["ida@harbour.example"]}, {}, "does not confirm"),
        ({"email": "ida"}, {}, "does not confirm"),
        ({"email": "ída@harbour.example"}, {}, "does not confirm"),
        ({"email": "ida@hárbour.example"}, {}, "no access here"),
        ({"email": "ida@harbour.example.evil.example"}, {}, "no access here"),
        ({}, {"domains": ["tide.example"]}, "no access here"),
        ({"xms_edov": "1", "email_verified": None}, {"verified_claim": "xms_edov"}, ""),
        ({"hd": "other.example"}, {"required_claims": {"hd": "harbour.example"}}, "is not valid"),
        ({"hd": "harbour.example"}, {"required_claims": {"hd": "harbour.example"}}, ""),
        ({"upn": "IDA@harbour.example", "email": None}, {"email_claim": "upn", "domains": ["harbour.example"]}, ""),
    ],
)
async def test_an_address_counts_if_it_is_verified_accepted_and_the_same(
    staff: Staff, user: MakeUser, changed: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    staff.provider.person |= changed
    answer = await sign_in(staff.site(**options).browser())
    if told:
        assert answer.status_code == 403
        assert told in answer.text
    else:
        assert answer.url.path == "/desk"


async def test_the_address_may_be_in_the_user_information_of_the_same_person(staff: Staff, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    for missing in ({"email", "email_verified", "name"}, {"email_verified"}):
        staff.provider.only_in_userinfo = frozenset(missing)
        assert (await sign_in(staff.site().browser())).url.path == "/desk"
    staff.provider.claims = {"sub": "p-9"}
    assert "is not valid" in (await sign_in(staff.site().browser())).text


async def test_the_user_information_verifies_no_other_address(staff: Staff, user: MakeUser) -> None:
    await user("ben@harbour.example", Role.EDITOR)
    staff.provider.only_in_userinfo = frozenset({"email_verified"})
    staff.provider.claims = {"email": "ben@harbour.example"}
    answer = await sign_in(staff.site().browser())
    assert (answer.status_code, "does not confirm" in answer.text) == (403, True)


async def test_groups_and_required_claims_may_be_in_the_user_information(staff: Staff) -> None:
    rule = CreationRule(account="Harbour Post", roles=[Role.EDITOR], group="editors")
    staff.provider.person |= {"groups": ["editors"], "hd": "harbour.example"}
    staff.provider.only_in_userinfo = frozenset({"groups", "hd"})
    site = staff.site(create=[rule], required_claims={"hd": "harbour.example"})
    assert (await sign_in(site.browser())).url.path == "/desk"
    staff.provider.only_in_userinfo = frozenset({"groups"})  # the linked person needs no group any more
    staff.provider.answers["/userinfo"] = 500, {}, b"{}"
    assert (await sign_in(site.browser())).url.path == "/desk"


async def test_disabled_users_are_refused_linked_or_not(staff: Staff, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    site = staff.site()
    for _ in range(2):
        await staff.desk.service.disable(ida, by=COMMAND_LINE)
        assert "no access here" in (await sign_in(site.browser())).text
        disabled = await staff.desk.service.users.find(ida.id)
        assert disabled is not None
        await staff.desk.service.enable(disabled, by=COMMAND_LINE)
        assert (await sign_in(site.browser())).url.path == "/desk"
        found = await staff.desk.service.users.find(ida.id)
        assert found is not None
        ida = found


async def test_an_attempt_belongs_to_its_browser_and_works_once(staff: Staff, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    site = staff.site()
    browser, victim = site.browser(), site.browser("de")
    await leave(victim)
    back = await come_back(await leave(browser))
    assert "in einem anderen Browser begonnen" in (await victim.get(back)).text  # planted by an attacker
    assert "another browser" in (await browser.get(back)).text  # and so it is used up
    first, second = await come_back(await leave(browser)), await come_back(await leave(browser))  # two tabs
    assert (await browser.get(second)).url.path == "/desk"
    assert (await browser.get(first)).url.path == "/desk"
    again = await browser.get(first)
    assert (again.status_code, "Try again" in again.text) == (403, True)
    for query in ("", "?state=a&code=b", f"?state={'x' * 3000}", "?error=access_denied&state=a"):
        assert (await browser.get(f"/sign-in/openid/staff/callback{query}")).status_code == 403
    assert "did not sign you in" in (await browser.get("/sign-in/openid/staff/callback?error=access_denied")).text
    assert (await browser.get("/sign-in/openid/other/callback")).status_code == 404
    refused = await browser.post("/sign-in/openid/staff", origin="https://evil.example")
    assert refused.status_code == 403
    for following in ("https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%2F%5Cevil.example"):
        done = await sign_in(site.browser(), f"/sign-in/openid/staff?next={following}")
        assert (done.url.host, done.url.path) == ("news.example", "/desk")


Spoil = Callable[[Provider], None]


def _claims(**changed: Any) -> Spoil:
    return lambda provider: provider.claims.update(changed)


def _signer(sign: Callable[[dict[str, Any]], str]) -> Spoil:
    return lambda provider: setattr(provider, "sign", sign)


def _answer(path: str, body: bytes, status: int = 200, **headers: str) -> Spoil:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda provider: provider.answers.update({path: (status, named, body)})


PEM = KEY.as_pem(private=False)
INVALID, UNAVAILABLE, ENDED = "is not valid", "cannot be reached", "Try again"
HOSTILE: dict[str, tuple[Spoil, str]] = {
    "another nonce": (_claims(nonce="x"), INVALID),
    "no nonce": (_claims(nonce=None), INVALID),
    "another audience": (_claims(aud="other"), INVALID),
    "audiences without the authorised party": (_claims(aud=["newswire", "other"]), INVALID),
    "another authorised party": (_claims(aud=["newswire", "other"], azp="other"), INVALID),
    "expired": (_claims(exp=1_700_000_000), INVALID),
    "never expires": (_claims(exp=None), INVALID),
    "issued in the future": (_claims(iat=4_000_000_000), INVALID),
    "another issuer": (_claims(iss="https://evil.example"), INVALID),
    "nobody": (_claims(sub=None), INVALID),
    "a number": (_claims(sub=7), INVALID),
    "a long subject": (_claims(sub="x" * 256), INVALID),
    "another access token": (_claims(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), INVALID),
    "times that are no numbers": (_claims(exp="tomorrow"), INVALID),
    "algorithm none": (_signer(lambda claims: signed_by_hand(claims, "none", None)), INVALID),
    "HS256 with the public key": (_signer(lambda claims: signed_by_hand(claims, "HS256", PEM)), INVALID),
    "HS256 with the client secret": (_signer(lambda claims: signed_by_hand(claims, "HS256", b"s/cret")), INVALID),
    "another key with the same id": (_signer(sign_with(OTHER_KEY)), INVALID),
    "an unknown key": (_signer(sign_with(NEW_KEY, "ES256")), INVALID),
    "a key in the header": (_signer(sign_with(OTHER_KEY, kid="x", jwk=OTHER_KEY.as_dict(private=False))), INVALID),
    "no token": (_signer(lambda claims: ""), INVALID),
    "a large token": (_signer(lambda claims: "a" * 70_000), INVALID),
    "an answer of another issuer": (lambda provider: provider.back.update(iss="https://evil.example"), INVALID),
    "an answer without issuer": (lambda provider: provider.back.update(iss=""), INVALID),
    "an error": (lambda provider: provider.back.update(error="access_denied", code=""), "did not sign you in"),
    "a code that is unknown": (lambda provider: provider.back.update(code="unknown"), ENDED),
    "keys without end": (_answer("/keys", b" " * (bounded_http.MAX_BYTES + 1)), UNAVAILABLE),
    "too many keys": (_answer("/keys", json.dumps({"keys": [{}] * 101}).encode()), UNAVAILABLE),
    "compressed keys": (_answer("/keys", COMPRESSED, Content_Encoding="gzip"), UNAVAILABLE),
    "keys elsewhere": (_answer("/keys", b"", 302, Location="http://169.254.169.254/"), UNAVAILABLE),
    "keys that are no JSON": (_answer("/keys", b"<html>"), UNAVAILABLE),
    "keys that are none": (_answer("/keys", b'{"keys": [1, {"kty": "oct", "k": "a", "kid": "rsa-1"}]}'), INVALID),
    "broken keys": (_answer("/keys", b'{"keys": [{"kty": "RSA", "kid": "rsa-1", "n": "!", "e": 1}]}'), INVALID),
    "tokens of another kind": (_answer("/token", b"[]"), UNAVAILABLE),
    "an error about the client": (_answer("/token", b'{"error": "invalid_client"}', 401), UNAVAILABLE),
}


async def test_hostile_answers_sign_nobody_in(staff: Staff, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    wrong = []
    for name, (spoil, told) in HOSTILE.items():
        fresh = Provider(staff.provider.issuer)
        vars(staff.provider).update(vars(fresh))
        spoil(staff.provider)
        browser = staff.site().browser()
        answer = await sign_in(browser)
        if (
            answer.status_code < 400
            or told not in answer.text
            or (await browser.get("/account")).url.path != "/sign-in"
        ):
            wrong.append(f"{name}: {answer.status_code}, {answer.url.path}")
    assert wrong == []
    assert "user.signed_in" not in await staff.acts()


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://10.0.0.1/token"},
        {"token_endpoint": "ftp://sso.example/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
        {"jwks_uri": "https://user@sso.example/"},
        {"userinfo_endpoint": "http://metadata.internal/"},
    ],
)
async def test_a_configuration_that_is_not_acceptable_leads_nowhere(staff: Staff, changed: dict[str, Any]) -> None:
    staff.provider.configuration = changed
    browser = staff.site().browser()
    answer = await browser.post("/sign-in/openid/staff")
    assert (answer.status_code, UNAVAILABLE in answer.text) == (502, True)


async def test_an_issuer_may_end_with_a_slash_unlike_the_setting(staff: Staff, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    slash = {"iss": f"{staff.provider.issuer}/"}
    staff.provider.configuration, staff.provider.claims = {"issuer": slash["iss"]}, slash
    staff.provider.back = slash
    staff.provider.configuration |= {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert (await sign_in(staff.site().browser(), "/sign-in/openid/staff?next=%2Faccount")).url.path == "/account"


async def test_a_slow_provider_is_not_waited_for(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_http, "SECONDS", 0.2)
    staff.provider.delay = 0.5
    answer = await staff.site().browser().post("/sign-in/openid/staff")
    assert (answer.status_code, UNAVAILABLE in answer.text) == (502, True)


async def test_new_keys_are_fetched_when_a_token_needs_them_but_not_for_each_forged_one(
    staff: Staff, user: MakeUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    site = staff.site()
    for _ in range(2):
        assert (await sign_in(site.browser())).url.path == "/desk"
    assert staff.provider.asked.count("/keys") == 1
    assert staff.provider.asked.count("/.well-known/openid-configuration") == 1
    staff.provider.sign, staff.provider.keys = sign_with(NEW_KEY, "ES256"), [NEW_KEY]
    assert INVALID in (await sign_in(site.browser())).text  # the keys are seconds old
    monkeypatch.setattr(discovery, "MIN_REFRESH", 0)
    assert (await sign_in(site.browser())).url.path == "/desk"
    assert staff.provider.asked.count("/keys") == 2
    staff.provider.sign, staff.provider.keys = sign_with(NEXT_KEY, "ES256"), [NEXT_KEY]  # with the id of the former
    assert (await sign_in(site.browser())).url.path == "/desk"
    assert staff.provider.asked.count("/keys") == 3
    monkeypatch.setattr(discovery, "MAX_AGE", 0)
    staff.provider.answers["/keys"] = 500, {}, b"{}"  # keys that are known are used while the provider fails
    assert (await sign_in(site.browser())).url.path == "/desk"


async def test_a_user_proves_its_identity_by_signing_in_again(staff: Staff, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR, password=None)
    browser = staff.site().browser()
    await sign_in(browser)
    await age_sessions(staff.desk, ida)
    page = await browser.get("/account/prove?next=%2Faccount")
    assert "Sign in with Harbour SSO" in page.text
    assert "Ask for a new link" not in page.text
    address = await leave(browser, "/account/prove/openid/staff?next=%2Faccount")
    assert {"prompt=login", "max_age=0"} <= set(address.partition("?")[2].split("&"))
    staff.provider.claims = {"auth_time": 1_700_000_000}
    assert INVALID in (await browser.get(await come_back(address))).text
    await browser.get("/account/prove")
    staff.provider.claims = {"sub": "p-2"}
    other = await sign_in(browser, "/account/prove/openid/staff")
    assert "does not belong" in other.text
    assert "Sign in with Harbour SSO" in other.text, "the page of the proof, for another attempt"
    staff.provider.claims = {}
    unproven = await browser.post("/account/identities/remove", issuer=staff.provider.issuer)
    assert unproven.url.path == "/account/prove"
    assert (await sign_in(browser, "/account/prove/openid/staff")).url.path == "/account"
    last = await browser.post("/account/identities/remove", issuer=staff.provider.issuer)
    assert (last.status_code, "could not sign in" in last.text) == (409, True)
    found = await staff.desk.service.users.find(ida.id)
    assert found is not None
    await staff.desk.service.users.set_password_hash(found, "x")
    assert (
        "The link was removed" in (await browser.post("/account/identities/remove", issuer=staff.provider.issuer)).text
    )
    assert (await staff.acts())[-1] == "user.identity_unlinked"


async def mails_of(staff: Staff) -> list[str]:
    """Return the kinds of the mails to users that wait, each once, and forget them."""
    found = await staff.desk.service.mails.claim(50, 1)
    for each in found:
        await staff.desk.service.mails.done(each)
    return sorted(f"{each.kind} {each.language}" for each in found)


async def test_a_user_links_a_provider_whatever_its_address_there_is(staff: Staff, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser = staff.site().browser()
    await browser.sign_in(ida.email)
    staff.provider.person = {"sub": "p-7", "email": "ida@home.example"}
    assert "Link Harbour SSO" in (await browser.get("/account")).text
    address = await leave(browser, "/account/openid/staff")
    assert "prompt=select_account" in address
    linked = await browser.get(await come_back(address))
    assert "The provider is linked" in linked.text
    assert "Link Harbour SSO" not in linked.text
    assert (await sign_in(browser, "/account/openid/staff")).status_code == 200  # by the other button of an old page
    assert [each for each in await staff.acts() if "identity" in each] == ["user.identity_linked"]
    assert await mails_of(staff) == ["identity_linked en"]
    assert (await sign_in(staff.site().browser())).url.path == "/desk"


async def test_a_link_needs_a_recent_proof_its_session_and_a_person_who_is_free(staff: Staff, user: MakeUser) -> None:
    ida, jon = await user("ida@harbour.example", Role.EDITOR), await user("jon@harbour.example", Role.EDITOR)
    site = staff.site(domains=["harbour.example"])
    browser, other = site.browser(), site.browser()
    await browser.sign_in(ida.email)
    await other.sign_in(jon.email)
    await browser.get("/account")
    foreign = await browser.post("/account/openid/staff", csrf="0" * 64)
    assert foreign.status_code == 403
    await browser.get("/account")
    await other.get("/account")
    planted = await come_back(await leave(other, "/account/openid/staff"))
    assert (
        "another browser" in (await browser.get(planted)).text
    )  # a link that Jon began does not make Jon's person Ida
    assert "another browser" in (await site.browser().get(planted)).text
    await browser.get("/account")
    staff.provider.person |= {"email": "ida@elsewhere.example"}
    refused = await sign_in(browser, "/account/openid/staff")
    assert (refused.status_code, "nothing was linked" in refused.text) == (403, True)
    staff.provider.person |= {"email": "eve@harbour.example"}
    assert "The provider is linked" in (await sign_in(browser, "/account/openid/staff")).text
    await other.get("/account")
    taken = await sign_in(other, "/account/openid/staff")
    assert (taken.status_code, "is linked to another user" in taken.text) == (409, True)
    await other.get("/account")
    staff.provider.back = {"error": "access_denied", "code": ""}
    assert "did not sign you in" in (await sign_in(other, "/account/openid/staff")).text
    staff.provider.back = {}
    await age_sessions(staff.desk, jon)
    await other.get("/account")
    unproven = await other.post("/account/openid/staff")
    assert (unproven.url.path, unproven.url.params["next"]) == ("/account/prove", "/account")
    assert [each for each in await staff.acts() if "identity" in each] == ["user.identity_linked"]


async def test_signing_out_ends_the_session_at_the_provider(staff: Staff, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    staff.provider.configuration = {"end_session_endpoint": f"{staff.provider.issuer}/logout?realm=a%20b"}
    site = staff.site()
    browser = site.browser()
    await sign_in(browser)
    left = await browser.post("/sign-out", follow=False)
    address = httpx.URL(left.headers["refresh"].removeprefix("0; url="))
    sent = dict(address.params)
    assert (address.path, sent.pop("realm")) == ("/logout", "a b")
    token = sent.pop("id_token_hint")
    assert json.loads(urlsafe_b64decode(token.split(".")[1] + "==="))["sub"] == "p-1"
    assert sent == {"client_id": "newswire", "post_logout_redirect_uri": "https://news.example/sign-in"}
    assert "You are signed out here" in left.text
    assert (await browser.get("/account")).url.path == "/sign-in"
    await sign_in(browser)
    staff.provider.answers["/.well-known/openid-configuration"] = 500, {}, b"{}"
    fresh = Browser(httpx.AsyncClient(transport=httpx.ASGITransport(staff.site().ingest.app), base_url=site.site))
    staff.desk.browsers.append(fresh)
    fresh.http.cookies = browser.http.cookies
    await fresh.get("/desk")
    assert (await fresh.post("/sign-out")).url.path == "/sign-in"  # the provider is not available
    assert (await browser.get("/account")).url.path == "/sign-in"


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [(None, {}), ("http://10.0.0.1/logout", {}), ("javascript:alert(1)", {}), ("", {"sign_out": False})],
)
async def test_without_a_logout_at_the_provider_the_session_here_ends(
    staff: Staff, user: MakeUser, endpoint: str | None, options: dict[str, Any]
) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    if endpoint is not None:
        staff.provider.configuration = {"end_session_endpoint": endpoint or f"{staff.provider.issuer}/logout"}
    browser = staff.site(**options).browser()
    await sign_in(browser)
    assert (await browser.post("/sign-out", follow=False)).headers["location"] == "/sign-in"
    assert (await browser.get("/account")).url.path == "/sign-in"


async def test_a_token_that_is_too_long_for_an_address_is_not_sent_there(staff: Staff, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    staff.provider.configuration = {"end_session_endpoint": f"{staff.provider.issuer}/logout"}
    staff.provider.person |= {"groups": ["g" * 20] * 200}
    browser = staff.site().browser()
    await sign_in(browser)
    address = (await browser.post("/sign-out", follow=False)).headers["refresh"]
    assert "id_token_hint" not in address
    assert "client_id=newswire" in address


async def test_a_password_is_removed_while_another_credential_works(staff: Staff, user: MakeUser) -> None:
    ida = await user("ida@harbour.example", Role.EDITOR)
    browser, elsewhere = staff.site().browser(), staff.desk.browser()
    await elsewhere.sign_in(ida.email)
    await browser.sign_in(ida.email)
    assert "Remove the password" not in (await browser.get("/account")).text
    last = await browser.post("/account/password/remove")
    assert (last.status_code, "could not sign in" in last.text) == (409, True)
    assert "The provider is linked" in (await sign_in(browser, "/account/openid/staff")).text
    without = staff.desk.browser()  # the provider was removed from the settings: the link is no way to sign in
    await without.sign_in(ida.email)
    assert "Remove the password" not in (await without.get("/account")).text
    assert (await without.post("/account/password/remove")).status_code == 409
    assert "Remove the password" in (await browser.get("/account")).text
    removed = await browser.post("/account/password/remove")
    assert "The password was removed" in removed.text
    assert (await elsewhere.get("/account")).url.path == "/sign-in"
    assert (await staff.desk.browser().sign_in(ida.email)).status_code == 403
    assert (await staff.acts())[-1] == "user.password_removed"
    assert await mails_of(staff) == ["identity_linked en", "password_removed en"]
    still = await browser.post("/account/identities/remove", issuer=staff.provider.issuer)
    assert still.status_code == 409
    await age_sessions(staff.desk, ida)
    await browser.get("/account")
    assert (await browser.post("/account/password/remove")).url.path == "/account/prove"


async def test_attempts_of_a_network_are_limited(staff: Staff) -> None:
    browser = staff.site().browser()
    name = staff.desk.ingest.keys.key("sign-in-attempts", "*")
    await leave(browser)
    (counter,) = [each async for each in staff.desk.ingest.redis.scan_iter(name)]
    await staff.desk.ingest.redis.set(counter, 300, keepttl=True)
    limited = await browser.post("/sign-in/openid/staff")
    assert (limited.status_code, int(limited.headers["retry-after"]) > 800) == (429, True)


async def test_a_third_party_provider(desk: Desk, user: MakeUser) -> None:
    await user("ida@harbour.example", Role.EDITOR)
    person = {"sub": "mock-1", "email": "ida@harbour.example", "email_verified": True}
    with third_party_provider(person) as issuer:
        staff = Staff(desk, Provider(issuer))
        browser = staff.site().browser()
        address = await leave(browser)
        async with httpx.AsyncClient() as http:
            answer = await http.post(address, data={"sub": "mock-1"})
        back = httpx.URL(answer.headers["location"])
        assert (await browser.get(back.raw_path.decode())).url.path == "/desk"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"issuer": "http://sso.example"}, "https address"),
        ({"issuer": "https://sso.example?tenant=1"}, "https address"),
        ({"issuer": "https://user:secret@sso.example"}, "https address"),
        ({"name": "Staff"}, "pattern"),
        ({"scopes": ["email"]}, "openid"),
        ({"client_secret_file": "/nowhere"}, "cannot be read"),
        ({"client_secret": "a", "client_secret_file": "/nowhere"}, "both set"),
        ({"create": [{"account": "Harbour Post", "roles": ["writer"]}]}, "either a domain or a group"),
        ({"create": [{"account": "Harbour Post", "roles": ["owner"], "group": "a"}]}, "Input should be"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_providers_that_are_set_up_wrongly_are_named(changed: dict[str, Any], told: str) -> None:
    own = {"name": "staff", "label": "SSO", "issuer": "https://sso.example/realms/harbour", "client_id": "newswire"}
    with pytest.raises(ValueError, match=told):
        OpenIdProvider(**own | changed)


def test_a_domain_may_be_written_in_unicode() -> None:
    own = {"name": "staff", "label": "SSO", "issuer": "https://sso.example", "client_id": "newswire"}
    found = OpenIdProvider(**own, domains=["HÄFEN.example", "harbour.example"])
    assert found.domains == ["xn--hfen-loa.example", "harbour.example"]


def test_providers_are_read_from_the_environment_and_secrets_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text("s/cret\n")
    own = {"name": "staff", "label": "SSO", "issuer": "http://127.0.0.1:8080", "client_id": "newswire"}
    (tmp_path / "providers").write_text(json.dumps([own | {"client_secret_file": str(tmp_path / "secret")}]))
    monkeypatch.setenv("NEWSWIRE_OPENID_PROVIDERS_FILE", str(tmp_path / "providers"))
    (found,) = IngestSettings().openid_providers
    assert found.client_secret is not None
    assert found.client_secret.get_secret_value() == "s/cret"
    assert "s/cret" not in repr(found)
    with pytest.raises(ValueError, match="same name"):
        check_names([found, found])
    with pytest.raises(ValueError, match="not JSON"):
        read_providers("staff")


def test_only_https_is_requested_except_on_this_machine() -> None:
    local, remote = "http://127.0.0.1:8080", "https://sso.example"
    assert is_acceptable("https://login.example/token", remote)
    assert is_acceptable("http://[::1]:8080/token", local)
    for address in (
        "http://sso.example/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://a b/",
        "//a",
        "https://a#b",
    ):
        assert not is_acceptable(address, remote), address
