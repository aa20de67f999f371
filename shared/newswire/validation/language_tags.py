"""Validation of language tags (BCP 47, RFC 5646)."""

import re
from functools import lru_cache
from typing import Final

from newswire.validation.rules import broken_rule

MAX_LENGTH: Final = 35
"""In characters; RFC 5646, section 4.4.1, asks implementations to accept this length."""
EXAMPLE_FIX: Final = "send a BCP 47 tag such as en, pt-BR or zh-Hant"

_WELL_FORMED: Final = re.compile(
    r"[a-z]{2,3}(?P<extended>-[a-z]{3})?"  # a language, and an extended language subtag
    r"(-[a-z]{4})?"  # a script
    r"(-([a-z]{2}|[0-9]{3}))?"  # a region
    r"(?P<variants>(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*)"
    r"(?P<extensions>(-[0-9a-wyz](-[a-z0-9]{2,8})+)*)"
    r"(-x(-[a-z0-9]{1,8})+)?",  # private use
    re.IGNORECASE | re.ASCII,
)
_TWO_LETTERS: Final = frozenset(
    """aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu
    fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik in io is it iu iw ja ji jv jw ka kg ki kj
    kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mo mr ms mt my na nb nd ne ng nl nn no nr nv ny
    oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl
    tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu""".split()
)
"""The two-letter language subtags of the IANA registry, deprecated ones included."""
_SHORTER: Final = dict(
    pair.split("=")
    for pair in """aar=aa abk=ab afr=af aka=ak alb=sq amh=am ara=ar arg=an arm=hy asm=as ava=av ave=ae aym=ay aze=az bak=ba
    bam=bm baq=eu bel=be ben=bn bis=bi bod=bo bos=bs bre=br bul=bg bur=my cat=ca ces=cs cha=ch che=ce chi=zh
    chu=cu chv=cv cor=kw cos=co cre=cr cym=cy cze=cs dan=da deu=de div=dv dut=nl dzo=dz ell=el eng=en epo=eo
    est=et eus=eu ewe=ee fao=fo fas=fa fij=fj fin=fi fra=fr fre=fr fry=fy ful=ff geo=ka ger=de gla=gd gle=ga
    glg=gl glv=gv gre=el grn=gn guj=gu hat=ht hau=ha hbs=sh heb=he her=hz hin=hi hmo=ho hrv=hr hun=hu hye=hy
    ibo=ig ice=is ido=io iii=ii iku=iu ile=ie ina=ia ind=id ipk=ik isl=is ita=it jav=jv jpn=ja kal=kl kan=kn
    kas=ks kat=ka kau=kr kaz=kk khm=km kik=ki kin=rw kir=ky kom=kv kon=kg kor=ko kua=kj kur=ku lao=lo lat=la
    lav=lv lim=li lin=ln lit=lt ltz=lb lub=lu lug=lg mac=mk mah=mh mal=ml mao=mi mar=mr may=ms mkd=mk mlg=mg
    mlt=mt mon=mn mri=mi msa=ms mya=my nau=na nav=nv nbl=nr nde=nd ndo=ng nep=ne nld=nl nno=nn nob=nb nor=no
    nya=ny oci=oc oji=oj ori=or orm=om oss=os pan=pa per=fa pli=pi pol=pl por=pt pus=ps que=qu roh=rm ron=ro
    rum=ro run=rn rus=ru sag=sg san=sa sin=si slk=sk slo=sk slv=sl sme=se smo=sm sna=sn snd=sd som=so sot=st
    spa=es sqi=sq srd=sc srp=sr ssw=ss sun=su swa=sw swe=sv tah=ty tam=ta tat=tt tel=te tgk=tg tgl=tl tha=th
    tib=bo tir=ti ton=to tsn=tn tso=ts tuk=tk tur=tr twi=tw uig=ug ukr=uk urd=ur uzb=uz ven=ve vie=vi vol=vo
    wel=cy wln=wa wol=wo xho=xh yid=yi yor=yo zha=za zho=zh zul=zu""".split()
)
"""Three-letter codes of ISO 639-2 for languages with a two-letter subtag; BCP 47 allows only that (RFC 5646, section 2.2.1)."""
_EXTENDED: Final = frozenset("ar kok lv ms sgn sw uz zh".split())
"""Languages with extended language subtags in the IANA registry."""
_MEANT: Final = _SHORTER | dict(
    pair.split("=")
    for pair in """english=en deutsch=de german=de french=fr francais=fr français=fr spanish=es español=es espanol=es castellano=es
    italian=it italiano=it portuguese=pt português=pt dutch=nl nederlands=nl swedish=sv svenska=sv danish=da dansk=da norwegian=no
    norsk=no finnish=fi suomi=fi polish=pl polski=pl czech=cs čeština=cs slovak=sk hungarian=hu magyar=hu romanian=ro bulgarian=bg
    greek=el turkish=tr türkçe=tr russian=ru русский=ru ukrainian=uk arabic=ar hebrew=he persian=fa farsi=fa hindi=hi bengali=bn
    urdu=ur tamil=ta thai=th vietnamese=vi indonesian=id malay=ms chinese=zh mandarin=zh japanese=ja korean=ko swahili=sw catalan=ca
    croatian=hr serbian=sr slovenian=sl estonian=et latvian=lv lithuanian=lt irish=ga welsh=cy icelandic=is
    jp=ja cn=zh cz=cs dk=da gr=el ua=uk""".split()
)
"""Names of languages and codes of countries that clients send in place of a tag."""


def check_language_tag(tag: str) -> str:
    """Return the tag if it is well-formed and its language is known. Unknown three-letter codes are accepted.

    Raises:
        PydanticCustomError: it is invalid; the fix names the tag that was probably meant.
    """
    if len(tag) <= MAX_LENGTH and _is_known(tag):
        return tag
    near = probable_tag(tag[:MAX_LENGTH])
    raise broken_rule("is not a BCP 47 language tag", f"did you mean '{near}'? {EXAMPLE_FIX}" if near else EXAMPLE_FIX)


@lru_cache(maxsize=1024)
def _is_known(tag: str) -> bool:
    """Return whether a tag is well-formed (RFC 5646, section 2.2.9), and its language has no other required spelling."""
    found = _WELL_FORMED.fullmatch(tag)
    if found is None:
        return False
    language = tag.lower().partition("-")[0]
    variants = found["variants"].lower().split("-")[1:]
    singletons = [subtag for subtag in found["extensions"].lower().split("-")[1:] if len(subtag) == 1]
    return (
        (len(language) != 2 or language in _TWO_LETTERS)
        and language not in _SHORTER
        and (found["extended"] is None or language in _EXTENDED)
        and len(set(variants)) == len(variants)
        and len(set(singletons)) == len(singletons)
    )


def probable_tag(tag: str) -> str | None:
    """Return the tag that was probably meant by an invalid one, such as the name of a language; None if that is not clear."""
    written = tag.strip().replace("_", "-")
    if meant := _MEANT.get(written.lower()):
        return meant
    primary, _, rest = written.partition("-")
    meant = _MEANT.get(primary.lower(), primary)
    near = f"{meant}-{rest}" if rest else meant
    return near if near != tag and _is_known(near) else None
