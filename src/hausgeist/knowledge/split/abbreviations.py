"""What a stop means after a word, language by language: abbreviations, months, and the words that sentences begin with.

`never` is never the end of a sentence: something always follows ("Dr.", "z. B."). `numbered` is an abbreviation only before a number ("No. 5",
"Art. 3"). `final` may end one: it does where the next word is one that sentences begin with ("etc.", "Inc."). Abbreviations stand without their
last stop and in small letters. Single letters and letters divided by stops ("J.", "U.S.", "z. B.") need no list.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

__all__ = ["Words", "words_of"]


@dataclass(frozen=True, slots=True)
class Words:
    never: frozenset[str]
    numbered: frozenset[str]
    final: frozenset[str]
    months: frozenset[str]
    starters: frozenset[str]
    ordinals: bool
    """Whether "3." may mean "third"."""
    nouns: bool
    """Whether nouns are written with a capital, so that one says little about where sentences begin."""


_NEVER = {
    "en": "mr mrs ms messrs mmes dr prof rev hon gen col maj capt cmdr lt sgt cpl pvt adm brig gov sen rep pres supt insp st mt ft vs viz cf eg ie "
    "e.g i.e al approx ca resp incl excl est esp gov't dept univ assn bros def. adj adv attn fig. ave blvd rd hwy",
    "de": "dr prof dipl ing mag hr hrn fr frl st hl bzw ca ggf evtl sog sogen vgl inkl exkl zzgl abzgl insb insbes gem bes max min mind u.a.m "
          "d.h z.b "
    "i.d.r u.u s.o s.u i.v.m i.s.d i.s.v o.ä v.a geb gest verh verst zit hrsg ed allg amtl kath ev evang dt engl frz lat griech ital span jap chin "
    "röm österr schweiz bayr eigtl urspr ugs österr betr bez einschl entspr erg etw jmd jmdm jmdn jmds ehem gegr mdl schriftl tägl wöchentl monatl "
    "jährl jährl stellv rd zw zzt inh kfm techn wiss zus abt tel e.v mio mrd tsd kl gr str vors präs gen oberst lt hptm bspw beisp usf. nördl südl "
    "östl westl ff. vermutl ungef versch wg lfd",
    "es": "sr sra srta sres sras dr dra d dña prof profa ing lic arq gral cnel cap tte sto sta san mons excmo excma ilmo ilma fr p.ej ej aprox "
    "núm. depto dpto prov tel telf cía avda av pza ctra gob min pdte pdta vdo p. ee.uu vs cf",
    "fr": "m mm mme mmes mlle mlles me mgr dr pr prof st ste cf env av apr approx c.-à-d p.ex ex bd boul fg tél dép hab éd coll suiv",
    "it": "sig sigg sigra sig.ra dott dott.ssa prof prof.ssa ing avv arch geom rag on sen gen col cap mons s st ss ca es cfr ecc. tel p.es ed dr",
    "pt": "sr sra srs sras srta dr dra drs prof profa eng arq gen cel cap sto sta exmo exma ilmo ilma ex p.ex aprox tel av depto dept cf vs",
    "nl": "dhr mevr mw mej dr drs prof ir ing mr bijv bv ca resp enz. o.a d.w.z m.b.t i.v.m t.a.v nl incl excl max min tel st evt vgl zgn jl",
    "pl": "dr prof mgr inż hab lek p pp św ul al pl os np tzn tzw tj m.in ok wg zob por ww im płk gen kpt por mjr ks bp red tel mln mld tys",
    "cs": "dr prof mgr ing doc bc judr mudr phdr rndr p pí sl sv tj tzn tzv např popř resp cca mj ul nám tel mil mld tis str",
    "sv": "dr prof bl.a t.ex dvs d.v.s s.k f.d m.fl. ca kl tel resp st jfr inkl exkl",
    "da": "dr prof bl.a f.eks dvs d.v.s s.k ca kl tel hhv jf inkl ekskl sct",
    "no": "dr prof bl.a f.eks dvs d.v.s s.k ca kl tel hhv jf inkl ekskl st",
    "ru": "г гг ул пр д кв им т.е т.к т.н т.д. др. см ср напр проф акад доц гр г-н г-жа тыс млн млрд руб коп тел обл р-н",
}  # fmt: skip
_NUMBERED = {
    "en": "no nos p pp vol vols fig figs ch chap sec sect par para art arts cl eq ex app nr v ver tab pt ln col reg sched",
    "de": "nr nrn nummer abs art artt s ss satz ziff zif lit kap bd bde abb tab anm anh anl rn rdnr rz rnr aufl jg jh jhs jahrh h v fn bl fol "
    "sp teilz tz "
    "pos seit az",
    "es": "núm núms num art arts pág págs p pp vol cap fig figs párr apdo inc n",
    "fr": "no n nos art arts p pp vol chap fig figs al par ann réf",
    "it": "n nn art artt pag pagg p pp vol cap fig figg co lett",
    "pt": "n núm num art arts pág págs p pp vol cap fig figs inc al",
    "nl": "nr nrs art p pp blz vol hfst afb fig lid",
    "pl": "nr art ust pkt poz s str t tab rys rozdz r",
    "cs": "č čl odst písm s str sv obr tab kap r",
    "sv": "nr s sid kap fig art",
    "da": "nr s stk kap fig art",
    "no": "nr s kap fig art",
    "ru": "стр с рис табл гл ст п пп № т разд",
}
_FINAL = {
    "en": "etc inc ltd co corp llc plc jr sr esq ph.d phd m.d b.a m.a u.s u.s.a u.k d.c a.m p.m a.d b.c sq ft in oz lb hr min sec st jan feb "
    "mar apr jun "
    "jul aug sep sept oct nov dec mon tue tues wed thu thurs fri sat sun",
    "de": "etc usw usf u.s.w u.a u.ä o.ä ff f co jr sen jun dgl m.e m.w n.chr v.chr chr uhr. stck st std sek jan feb jän mrz apr jun jul aug "
    "sep sept okt nov dez "
    "mo di mi do fr sa so ag kg gmbh",
    "es": "etc cía s.a s.l a.c d.c u.s hnos ltda ene feb abr jun jul ago sept oct nov dic",
    "fr": "etc cie s.a s.a.r.l av j.-c janv févr avr juil sept oct nov déc",
    "it": "ecc s.p.a s.r.l spa srl a.c d.c gen feb mar apr giu lug ago set ott nov dic",
    "pt": "etc cia s.a ltda a.c d.c jan fev abr jun jul ago set out nov dez",
    "nl": "enz e.d b.v n.v jr sr jan feb apr jun jul aug sept okt nov dec",
    "pl": "itd itp s.a w r",
    "cs": "atd apod s.r.o a.s",
    "sv": "etc osv m.m m.fl o.s.v jan feb apr jun jul aug sept okt nov dec",
    "da": "etc osv m.m m.fl o.s.v jan feb apr jun jul aug sept okt nov dec",
    "no": "etc osv m.m m.fl o.s.v jan feb apr jun jul aug sept okt nov des",
    "ru": "др пр т.д т.п",
}
_MONTHS = {
    "de": "januar jänner februar feber märz april mai juni juli august september oktober november dezember jan feb mrz apr jun jul aug sep sept "
    "okt nov dez",
    "da": "januar februar marts april maj juni juli august september oktober november december",
    "no": "januar februar mars april mai juni juli august september oktober november desember",
    "cs": "ledna února března dubna května června července srpna září října listopadu prosince",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "fi": "tammikuuta helmikuuta maaliskuuta huhtikuuta toukokuuta kesäkuuta heinäkuuta elokuuta syyskuuta lokakuuta marraskuuta joulukuuta",
    "hu": "január február március április május június július augusztus szeptember október november december",
}
_STARTERS = {
    "en": "the a an this that these those he she it we they i you there here in on at as for from by with when while after before although "
          "though however "
    "but and if his her its their our my your what who how why where which some many most all each one no not then thus also since because during "
    "according both several other another under over between through until such please see",
    "de": "der die das den dem des ein eine einen einem einer eines dieser diese dieses diesen diesem er sie es wir ihr ich man in im am an auf "
          "aus bei beim "
    "mit nach von vom zu zum zur für durch um als wenn während nachdem obwohl jedoch aber und oder doch denn so dann da hier dort sein seine seiner "
    "ihre ihrer unser unsere was wer wie warum wo wann welche alle allerdings viele einige jede jeder kein keine nicht auch bereits seit wegen laut "
    "damit dabei dazu davon daher deshalb trotz unter über ob sowohl zwischen sobald sofern soweit bitte siehe heute später frau herr",
    "es": "el la los las un una unos unas este esta estos estas ese esa esto eso él ella ellos ellas yo nosotros usted en de del al a por para "
          "con sin sobre "
    "cuando mientras después antes aunque pero y o si su sus mi qué quién cómo dónde muchos algunos todos cada no entonces también desde "
    "durante según "
    "hay se es fue lo como",
    "fr": "le la les l un une des ce cet cette ces il elle ils elles on nous vous je en dans de du au aux à par pour avec sans sur sous quand "
          "lorsque après "
    "avant bien mais et ou si son sa ses leur leurs qui que quoi comment où pourquoi plusieurs certains tous chaque ne puis aussi depuis pendant "
    "selon c d il y",
    "it": "il lo la i gli le un una uno questo questa questi queste egli lui lei essi noi in di del della da dal a al per con su quando mentre "
          "dopo prima ma e o "
    "se suo sua molti alcuni tutti ogni non anche durante secondo si è",
    "pt": "o a os as um uma este esta estes estas esse essa ele ela eles elas nós em no na nos nas de do da por para com sem sobre quando "
          "enquanto depois "
    "antes mas e ou se seu sua muitos alguns todos cada não também desde durante segundo é",
    "nl": "de het een deze dit die dat hij zij ze wij we ik u in op aan van voor met bij naar uit door over als wanneer terwijl na maar en of "
          "zijn haar hun "
    "veel alle elke geen niet ook sinds tijdens volgens er",
    "pl": "to ten ta te w we na do od z ze o po przez dla przy za jak gdy kiedy ale i lub jego jej ich nie także podczas według jest",
    "cs": "to ten ta tato tento v ve na do od z ze o po pro při za jak když ale a nebo jeho její jejich ne také během podle je",
    "sv": "den det de en ett denna detta dessa han hon vi jag i på av för med till från om när medan efter men och eller hans hennes deras inte "
          "också under enligt",
    "da": "den det de en et denne dette disse han hun vi jeg i på af for med til fra om når mens efter men og eller hans hendes deres ikke også "
          "under ifølge",
    "no": "den det de en et denne dette disse han hun vi jeg i på av for med til fra om når mens etter men og eller hans hennes deres ikke også "
          "under ifølge",
    "ru": "в на с по из за от до для при он она они мы я это этот эта эти как когда но и или его её их не также после перед однако",
}  # fmt: skip
_ORDINALS = frozenset(("de", "da", "no", "nb", "nn", "fi", "cs", "sk", "hu", "hr", "sl", "sr", "bs", "et", "lv", "pl", "tr", "is", "lb", "eu"))
_SAME = {"nb": "no", "nn": "no", "lb": "de", "als": "de", "gl": "pt", "ca": "es", "sk": "cs", "uk": "ru", "be": "ru", "bg": "ru"}


@cache
def words_of(language: str) -> Words:
    """`language`: ISO 639-1. For one that is not known, all that is an abbreviation in any language is one."""
    code = language.lower().partition("-")[0]
    code = _SAME.get(code, code)

    def of(lists: dict[str, str]) -> frozenset[str]:
        known = [lists[code]] if code in lists else list(lists.values()) if code not in _NEVER else []
        return frozenset(word for text in known for word in text.split())

    never = of(_NEVER)
    # In an unknown language a word that is plain in another one must not count: "fr" and "min" stay, "in" and "so" do not.
    final = of(_FINAL) if code in _FINAL else of(_FINAL) - _PLAIN
    return Words(
        never=never if code in _NEVER else never - _PLAIN,
        numbered=of(_NUMBERED),
        final=final,
        months=of(_MONTHS) if code in _MONTHS else frozenset(word for text in _MONTHS.values() for word in text.split()),
        starters=of(_STARTERS),
        ordinals=code in _ORDINALS,
        nouns=code in ("de", "lb"),
    )


_ORDINARY = "in so do di mi sa sun sat mar art ex on es al max pr ms me on im ok st. s d p m i w r nl g"
_PLAIN = frozenset(_ORDINARY.split())
