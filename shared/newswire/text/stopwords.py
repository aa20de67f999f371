"""Stop words by language: words without a meaning of their own, which are ignored in queries."""

STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": """
            a about after again against all am an and any are as at be because been before being below between both but by
            can did do does doing down during each few for from further had has have having he her here hers him his how i if
            in into is it its me more most my no nor not of off on once only or other our ours out over own same she so some
            such than that the their theirs them then there these they this those through to too under until up very was we
            were what when where which while who whom why will with you your yours""",
        "de": """
            aber als am an auch auf aus bei bin bis da das dass dem den der des die dies diese diesem diesen dieser doch du
            durch ein eine einem einen einer eines er es für gegen hat hatte ich ihr im in ist ja kann mit nach nicht noch nur
            ob oder sein sich sie sind so über um und uns unter vom von vor war waren was wenn werden wie wir wird wo zu zum
            zur zwischen""",
        "fr": """
            à au aux avec c ce ces cet cette d dans de des du elle elles en est et eux il ils j je l la le les leur leurs lui
            m ma mais me mes mon n ne nos notre nous on ont ou où par pas plus pour qu que qui s sa sans se ses son sont sous
            sur t ta te tes ton tu un une vos votre vous y été être""",
        "es": """
            a al ante como con contra cual cuando de del desde donde e el ella ellas ellos en entre era es esa ese eso esta
            estas este esto estos fue ha han hasta la las le les lo los más me mi muy ni no nos o para pero por porque que
            quien se ser si sin sobre son su sus también te tu un una uno unos y ya yo""",
        "pt": """
            a ao aos as até com como da das de dela dele do dos e ela elas ele eles em entre era essa esse esta este eu foi
            há isso isto já lhe mais mas me mesmo minha meu muito na nas nem no nos não nós o os ou para pela pelas pelo pelos
            por quando que quem se sem ser seu sua são só também te um uma umas uns à às é""",
        "it": """
            a ad ai agli al alla alle allo anche c che chi ci come con cui d da dai dal dalla dalle degli dei del dell della
            delle dello di e ed era fra gli ha hanno i il in io l la le lei lo loro lui ma mi ne negli nei nel nella nelle
            nello noi non o per perché più quale quando quella quello questa questo se si sia sono su sua sui sul sulla suo
            tra tu un una uno vi voi è""",
        "nl": """
            aan al als bij dan dat de der deze die dit door een en er ge had heb hebben heeft hem het hij hoe hun ik in is
            ja je kan maar me meer met mij mijn naar niet nog nu of om omdat ons ook op over te tegen toch toen tot u uit van
            voor want was wat we wel werd wie wij worden wordt ze zich zij zijn zo zonder zou""",
        "sv": """
            alla att av blev bli blir da de dem den denna deras dess det detta dig din du där efter ej eller en ett från för
            ha hade han hans har hennes hon honom hur här i icke inte jag kan man med men mig min mot mycket ni nu när och om
            oss på sig sin sina som så till under upp ut var vara vi vid vår är över""",
        "no": """
            at av bare ble bli blir da de deg dem den denne der deres det dette du eller en er et etter for fra ha hadde han
            har hun hva hvor i ikke ikkje inn jeg kan kom man med meg men min mot mye nå når og også om opp oss på seg selv
            sin skal som så til under ut var ved vi vil være vår å""",
        "da": """
            af alle at blev blive bliver da de dem den denne der deres det dette dig din dog du efter eller en end er et for
            fra ham han hans har havde hende her hun hvad hvis hvor i ikke ind jeg jo kan man med meget men mig min mod ned
            nu når og også om op os over på selv sig sin skal som så til ud under var ved vi vil vor være""",
        "fi": """
            ei eivät en että he hän ja jo joka jos joita jotka kanssa kuin kun me minä mitä mukaan mutta myös ne niin nyt
            ole oli olivat on ovat se sekä sen siellä sitä tai te tämä tässä vaan vain voi""",
        "ru": """
            а без более бы был была были было быть в вам вас весь во вот все всё всего вы где да для до его ее её если есть
            еще ещё же за здесь и из или им их к как когда кто ли либо мне может мы на над надо не него нее нет ни них но
            ну о об однако он она они оно от по под при с со так также там те тем то того тоже только том ты у уже хотя
            чего чей чем что чтобы эта эти это этот я""",
        "ar": """
            من في على إلى عن أن إن هذا هذه ذلك التي الذي ما لا لم لن كان كانت هو هي مع قد بعد قبل كل بين ثم أو""",
        "pl": """
            a aby ale bez być był była było byli czy dla do gdy i ich ich ile im innych jak jako je jego jej jest już ku lub
            ma może na nad nie nim o od oraz po pod przez przy się są ta tak także tam te tego tej ten to tu tym w we więc z
            za ze że""",
        "ca": """
            a al als amb aquest aquesta com d de del dels el els en és ha han hi i l la les li més no o on per però que qui s
            se ser seu seva si són sobre també un una uns""",
        "ro": """
            a al ale am ar au ca care ce cel cu de din dintr după ei el ea este fi fost i în intr la le mai mult nu o pe pentru
            prin sa să se si și sunt un una unei unui va""",
        "hu": """
            a az azt be csak de egy el én és ez ezt fel ha hogy is itt ki le már meg mi mint nagy nem ő s sem vagy van volt""",
        "tr": """
            bir bu çok da daha de değil diye en gibi göre her için ile ise kadar ki mi mu ne o olan olarak sonra şu var ve
            veya ya""",
        "el": """
            από για δεν είναι ένα ένας έχει η ή θα και με μια μας να ο οι όπως οτι ότι που σε στη στην στις στο στον στους τα
            τη την της τις το τον του τους των ως""",
    }.items()
}
"""In lower case, with accents, as `newswire.text.analysis.words` returns them."""
