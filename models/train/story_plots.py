"""How the stories of the grammar begin, what happens in them, and how they end. story_grammar.py explains
the notation."""

import story_words as words
from story_words import an

# -- beginnings ------------------------------------------------------------------------------------------------------

ONCE = "[Once upon a time|Once upon a time|Once upon a time|Once upon a time|One day|Once|Long ago|A long time ago|Long, long ago|Many years ago]"


def a_day(s):
    """One day, with this story's weather or none."""
    if s.sky_told:
        return "[One day|One day|One morning|One afternoon|Early one morning|One fine day|That day]"
    own = {
        "sunny": "One sunny day|One bright morning|On a sunny morning", "rainy": "One rainy day|One rainy morning|On a rainy day", "windy": "One windy day|On a windy morning",
        "snowy": "One winter day|One snowy day|One snowy morning", "cold": "One cold day|One cold morning|One winter morning", "warm": "One summer day|One warm day|One warm evening",
        "cloudy": "One gray day|One cloudy morning", "foggy": "One foggy morning|One foggy day",
    }[s.sky]  # fmt: skip
    return f"[One day|One day|One morning|One afternoon|{own}|{own}|Early one morning|One fine day|One night]"


def sky(s):
    """The weather, told once."""
    s.sky_told = True
    return s.rng.choice(words.WEATHERS[s.sky].split(";")) + "."


def begin(s, cause=None, uses="", pair=False):
    """Introduces the hero in one of many ways.

    `cause`: what the plot starts from, as (feeling, what the hero "was ... because" of, a clause for "who ..." or None);
    `uses`: "o" if the object matters; `pair`: whether hero and friend may be together from the start.
    Returns whether the cause is told already.
    """
    if s.me:
        return begin_me(s, cause, uses)
    ways = [(once, 30), (on_a_day, 14), (name_is, 12), (scene, 8), (in_place, 5), (habit, 6), (action, 5)]
    if cause:
        ways += [(because, 14)] + ([(who_clause, 10)] if cause[2] else [])
    if uses == "o":
        ways.append((has_object, 34))
    elif not cause:
        ways.append((straight, 12))
    if pair:
        ways.append((two, 34))
    way = s.rng.choices([way for way, _ in ways], [weight for _, weight in ways])[0]
    if way in (because, who_clause):
        way(s, cause)
        return True
    way(s)
    s.alone = False
    s.there = s.dated and s.p.known
    if not s.sky_told:
        s.maybe(0.12, sky(s))
    return False


def straight(s):
    """No beginning: the plot's first event introduces the hero."""
    s.straight = True
    s.h.known = bool(s.h.name) and s.rng.random() < 0.5 or s.rng.random() < 0.2


def once(s):
    s.say(
        ONCE + ", there was {h.a}.",
        ONCE + ", there was {h.a}.",
        ONCE + ", there was {h.a}.",
        ONCE + ", there was {h.a} who [lived [in a {h.home}|near {p.the}|close to {p.the}|by {p.the}]|loved {like}|liked {like}|wanted to see the world|was always {trait}].",
        ONCE + ", there lived {h.a}.",
        ONCE + ", [{p.at_a}|near {p.a}], there lived {h.a}.",
        ONCE + ", {h.a} lived [near|by|not far from|next to] {p.the}[| with {his} family].",
        "There was once {h.a}.",
        "There once was {h.a}.",
        "There was {h.a}.",
        "Once there was {h.a}.",
        "[Near|Next to|Not far from] {p.a} [lived|there lived|there was] {h.a}.",
        "In [a land far away|a faraway land|a small village|a little town|a small house|a land of magic], there [lived|was] {h.a}.",
        "{P.at_a}, there [lived|was] {h.a}.",
        "There was {h.a} who [loved|liked] {like}.",
    )
    describe(s)


def on_a_day(s):
    s.dated = True
    day = a_day(s)
    s.say(
        day + ", {h.a} {h.went} {p.to}.",
        day + ", {h.a} was playing {p.at}.",
        day + ", {h.a} went for a walk {p.at}.",
        day + ", {h.a} woke up and looked outside. " + sky(s),
        day + ", {h.a} [wanted to play|was bored|was very happy|had nothing to do|felt like playing|was looking for something to do].",
        day + ", {h.a} went outside. " + sky(s),
        day + ", {h.a} was on the way {p.to}.",
        day + ", {h.a} was [sitting|walking|resting|looking around] {p.at}.",
        day + ", {h.a} and {his} [mom|dad|family|grandma] went {p.to}.",
        "[Yesterday|Last summer|Last week|This morning], {h.a} went {p.to}.",
    )


def name_is(s):
    if not s.h.name:
        s.h.known = s.rng.random() < 0.5
        s.say("{h} [loved|liked] {like}.", "{h} lived [near|by] {p.the}.", "{h} lived [in a {h.home}|near {p.the}].", "{h} once lived [near|by] {p.the}.", "{h} was [very |]{trait}.", "{h} wanted to [have fun|play|go {p.to}].")
        s.h.known = True
        return
    s.h.known = True
    size, noun = s.h.size or "little", s.h.noun
    s.say(
        "{h.name} was " + an(f"{size} {noun}") + ".", "{h.name} was " + an(f"{size} {noun}") + ".", "{h.name} was " + an(noun) + " who [loved|liked] {like}.",
        "{h.name} was " + an(noun) + " who lived [near|by] {p.the}.", *(() if s.h.noun in ("boy", "girl") else ("{h.name} the {h.kind} [loved|liked] {like}.", "{h.name} the {h.kind} lived [in a {h.home}|near {p.the}].")),
        "{h.name} lived [near|by] {p.the} with {his} [mom|family|mom and dad|friends].", "{h.name} [loved|liked] {like}.",
        "This is the story of {h.name}, {h.a_kind}.", "{h.name} was [three|four|five|six|seven] years old. {He} [loved|liked] {like}.", "{h.name} wanted to [have fun|play outside|go {p.to}].", "{h.name} [woke up|got up] early[| and looked out of the window].",
    )  # fmt: skip
    if "The story" not in s.text[-1]:
        describe(s)


def scene(s):
    s.dated = True
    s.say(
        sky(s) + " {h.a} [was|sat|stood|was playing] {p.at}.",
        sky(s) + " {h.a} {h.went} {p.to}.",
        sky(s)[:-1] + " and {h.a} was [playing|walking|sitting] {p.at}.",
        sky(s) + " {h.a} looked out of the window and [smiled|sighed|wanted to go outside].",
        "It was [a sunny|a warm|a bright|a beautiful|a quiet|a cold|an early|a lovely] [morning|day] {p.at}. {h.a} woke up and [stretched|smiled|yawned].",
        "It was [late in the evening|early in the morning|almost night|spring|summer|autumn|winter|the first day of spring|a dark night|a dark and stormy night]. {h.a} was [sitting|walking|all alone] {p.at}.",
        "The [sun was going down|moon was big and round|stars were out|birds were singing|leaves were falling|day was almost over]. {h.a} was [sitting|walking|resting] {p.at}.",
    )
    s.sky_told = True


def in_place(s):
    s.h.known = bool(s.h.name) and s.rng.random() < 0.3
    s.say(
        "[In the middle of|At the end of|On the other side of|Next to|Deep in|Behind] {p.a} [lived|there lived|there was] {h.a}.",
        "[In the middle of|At the end of|Deep in|Not far from] {p.a}, there was [an old tree|a little house|a tall tower|a small cave|a tiny door|an old bridge|a big rock]. {h.a} lived [there|near it|close by].",
        "There was [an old tree|a little house|a tall tower|a well|an old bridge|a big rock] {p.at}. {h.a} [lived there|went there every day|loved to sit there].",
        "{P.the} was {h.owner} favorite place[|. {He} went there every day].",
    )
    s.h.known = True


def habit(s):
    s.h.known = True
    s.say(
        "[Every day|Every morning|Every evening|Every summer|Every night], {h} {h.went} {p.to}.",
        '"[Good morning|Wake up|Come here|Look at the sky|It is time to get up], {h.call}!" said {g}. {H} [jumped out of bed|smiled|ran to {g.him}|opened {his} eyes].',
        '"[What a lovely day|I want to play|What can I do today|Where is everybody|I am so bored]!" said {h}.',
        "{h} was [playing|walking|sitting|looking around] {p.at}.",
        "{h} and {his} [family|mom|dad|grandma|friends] lived [near|by] {p.the}.",
        "{h} and {his} [family|mom|dad|grandma|friends] went {p.to}.",
        "{h} went {p.to} with {his} [mom|dad|family|grandma|friends].",
        "{h} wanted to go {p.to}.",
        "{h} was [happy|so happy|very happy|excited|glad] because [it was a beautiful day|the sun was shining|it was {his} birthday soon|{he} had a day off|it was summer|all {his} friends were there|spring had come].",
        "{h} was [happy|so happy|excited|very excited|hungry|tired|bored|a little sad]. It was [a big day|the first day of summer|the last day of school|a day like any other].",
    )


def action(s):
    s.dated = True
    s.h.known = s.h.name is not None and s.h.noun in ("boy", "girl")
    s.say(
        "{h} [sat|slept|stood|rested|was hiding|was sitting] {p.spot}.",
        "{h} {h.went} [down the road|up the hill|along the path|through the trees|around the garden|home|across the field]." if not s.water else "{h} {h.went} [around|up and down|along the sand].",
        "{h} saw [something shiny|a strange thing|a bird|a big cloud|a light] {p.at}.",
        "{h} [looked up at the sky|looked at the stars|was eating {food_a}|was looking for food|was on {his} way home].",
        "{h} [loved|liked] to [sit|play|sleep|sing] {p.spot}.",
    )
    s.h.known = True


def because(s, cause):
    feeling, reason, _ = cause
    s.h.known = s.h.name is None or s.rng.random() < 0.6
    s.say(f"[{{h}}|{{h}}|{{h.the}}] was [|very |so |a little ]{feeling} because {reason}.")
    s.h.known = True


def who_clause(s, cause):
    s.say(ONCE + ", there was {h.a} who " + cause[2] + ".", "There [once |]was {h.a} who " + cause[2] + ".", "{h.name} was {h.a_kind} who " + cause[2] + "." if s.h.name else "There lived {h.a} who " + cause[2] + ".")
    s.h.known = True


def has_object(s):
    if s.h.name:
        s.h.known = s.rng.random() < 0.7
    s.say(
        "{h} had {o.a}. [{He} loved it very much.|It was {his} favorite thing.|{He} took it everywhere.|It was the best {o.noun} in the world.|{He} was very proud of it.|{He} played with it every day.|]",
        "{h} had {o.a} that {he} [loved|liked] very much.",
        ONCE + ", {h} had {o.a}. [{He} loved it.|It was very special.|It was {his} favorite.]",
        "{h} got {o.a} [for {his} birthday|from {g}|as a gift]. [{He} was so happy.|{He} loved it at once.|{He} jumped with joy.]",
        "{h} [loved|liked] {his} {o}[| more than anything].",
        "{h} found {o.a} {p.spot}. [{He} took it home.|{He} was so happy.|{He} played with it every day.]",
        "{G} gave {h} {o.a}. \"[Take good care of it|This is for you|It is very old, so be careful with it],\" {g.he} said.",
    )
    s.h.known = True


def two(s):
    """Hero and friend, together from the beginning."""
    s.h.known = bool(s.h.name)
    s.f.known = bool(s.f.name) and s.rng.random() < 0.8
    if not s.h.name and not s.f.name and s.rng.random() < 0.5:
        s.h.known = s.f.known = True
    day = a_day(s)
    if s.rng.random() < 0.5:
        s.say(
            "{h} and {f} were [best friends|good friends|friends|brother and sister|playing {p.at}].",
            "{h} and {f} [loved|liked] {like}.",
            ONCE + ", there were two friends, {h} and {f}.",
            "{h} and {f} lived [near|by] {p.the}.",
            "[Two friends|Two good friends], {h} and {f}, lived [near|by] {p.the}.",
            "{h} had a friend. {His} friend was {f}." if not s.f.name else "{h} had a friend named {f.name}.",
            ONCE + ", {h} and {f} were friends.",
        )
        s.maybe(0.5, "They did everything together.", "They played together every day.", "They liked {like}.", "They were always together.")
    else:
        s.dated = True
        s.say("{h} and {f} went {p.to}.", "{h} and {f} were [playing|walking|sitting] {p.at}.", day + ", {h} and {f} went {p.to}.", day + ", {h} and {f} were [playing|bored|playing {p.at}].", "{h} went {p.to} with {his} friend {f}." if s.f.name else "{h} went {p.to} with {f}.")
    s.h.known = s.f.known = s.paired = True


def begin_me(s, cause, uses):
    """A story that the hero tells."""
    if cause and s.rng.random() < 0.3:
        feeling, reason, _ = cause
        s.say(f"I was [|very |so |a little ]{feeling} because {reason}.")
        return True
    day = a_day(s)
    s.say(
        "My name is " + s.h.name + ". I am {h.am_kind}[|. I [love|like] {like}|. I live near {p.the}].", "My name is " + s.h.name + ". I [love|like] {like}.", "I am " + s.h.name + ". I am {h.am_kind}.",
        "I am {h.am_kind}, and my name is " + s.h.name + ".", "When I was [little|small|young|five years old], I lived near {p.the}.", day + ", I went {p.to}[| with my mom| with my friends].", "I had {o.a}. I loved it very much." if uses else "I [love|like] {like}.",
        "[Yesterday|Last week|This morning|Last summer], I went {p.to}.", "I was walking {p.at}. " + sky(s), "I woke up early. " + sky(s), "I have a story to tell you. It is about me and " + s.g.first + "." if s.g.first else "I have a story to tell you.",
    )  # fmt: skip
    s.dated = s.text[-1].startswith(("One", "Yesterday", "Last", "This", "I was", "I woke"))
    return False


DESCRIBE = (
    "{He} [loved|liked] {like}.",
    "{He} [loved|liked] {like} more than anything.",
    "{H} was very [kind|brave|curious|playful|gentle|clever].",
    "{He} had [a big smile|a soft voice|big eyes|a warm heart|many dreams|a funny laugh|a long nose|a big belly|red cheeks|two brothers|a little sister].",
    "{He} lived in a [little|small|cozy|warm] {h.home} [with {his} family|with {his} mom|all alone|near {p.the}].",
    "{He} was always [happy|busy|hungry|smiling|ready to play|kind to others].",
    "Every day, {he} {h.went} {p.to}.",
    "Everyone [loved|liked|knew] {him}.",
    "{His} favorite food was {food_bare}.",
)


def describe(s):
    """A sentence or two more about the hero."""
    fitting = [template for template in DESCRIBE if not (s.h.size in words.TRAITS and " was " in template)]
    s.maybe(0.75, *fitting)
    s.maybe(0.15, *fitting[2:])


def need_object(s):
    if not s.o.known and s.paired:
        s.say("{H} had {o.a}. [It was {his} favorite thing.|{He} took it everywhere.|{He} loved it.|{He} was very proud of it.]", "{H} had {o.a} with {him}.", "{H} showed {f} {his} {o}.")
    elif not s.o.known:
        s.say(
            "{He} had {o.a} that {he} loved very much.",
            "{H} had {o.a}. [It was {his} favorite thing.|{He} took it everywhere.|{He} loved it.|{He} was very proud of it.]",
            "{His} favorite thing was {o.a}.",
            "{He} always carried {o.a} [with {him}|everywhere].",
        )


def one_day(s):
    """The day on which it begins to happen, or the moment of the day that the beginning named."""
    s.part()
    if s.straight and not s.text:
        return a_day(s) if s.rng.random() < 0.6 else ""
    if s.dated:
        return "[Then|Soon|After a while|A little later|Suddenly|Just then]"
    return f"[{a_day(s)[1:-1]}|Then one day]"


# -- beats that plots share ------------------------------------------------------------------------------------------


def sad(s):
    s.say(
        "{H} [was|felt] [very |so ||]sad.", "{He} [began|started] to cry.", "{He} felt [very sad|sad and alone|like crying].", "A tear ran down {his} face.",
        "{H} sat down and cried.", "{He} did not know what to do.", "{H} was very [sad|upset|worried].", '"Oh no!" {he} [cried|said].', '"What [can|shall] I do?" {h} [asked|said|cried].',
    )


def asks(s, who="g"):
    """The other asks what is wrong."""
    s.say(
        '{%s} [saw|heard] {him}. "What is wrong?" {%s.he} asked.' % (who, who),
        '{%s} came by. "Why are you [so sad|crying|sad]?" asked {%s.the}.' % (who, who),
        '[Just then|Then|Soon|After a while], {%s} came along. "[What is wrong|Why are you sad|What happened|Are you all right], {h.call}?" {%s.he} asked.' % (who, who),
        '{%s} [sat down next to|came to|looked at|walked up to] {him} and [asked|said], "[What is the matter|Why are you crying|What happened|Why do you look so sad]?"' % who,
    )


def thanks(s, who="g"):
    s.say(
        '"Thank you[| so much|, {%s.call}]!" [said|cried] {h}.' % who if getattr(s, who).name else '"Thank you[| so much| very much]!" [said|cried] {h}.',
        "{h} [thanked {%s.the}|gave {%s.the} a big hug|hugged {%s.the}|smiled at {%s.the}]." % (who, who, who, who),
        '"[You are so kind|You are the best|You helped me so much|I am so happy]!" {h} said. "Thank you!"',
        '"Thank you for [helping me|your help]," {h} said with a [big |happy |warm |]smile.',
    )


def end(s, *own):
    """The last sentences: of this plot, or of any."""
    s.part()
    common = (
        "{H} was [very |so |]happy.", "{H} [smiled|laughed|was happy] all [day long|the way home].", "From that day on, {h} was [never sad again|always {trait}|a little more {trait}].",
        "{H} went home [with a [big |happy |]smile|happy and tired|for dinner|and told everyone about it].", "That night, {h} [slept well|fell asleep with a smile|had sweet dreams|dreamed of it].",
        "It was [the best day ever|a very good day|a day {he} would never forget|the best day of {his} life].", "And {h} lived happily ever after.",
    )
    s.say(*(own or common))
    if own and s.rng.random() < 0.45:
        s.say(*common)
    s.maybe(0.12, "The end.", "And that was that.")


def pals(s):
    """Hero and friend from now on."""
    s.say(
        "[From then on|From that day on|After that|From that day], {h} and {f} were [best friends|good friends|always together|the best of friends].",
        "{H} and {f} became [best |good |]friends[| and played together every day| and were never lonely again].",
        "They played together [every day|all day|until the sun went down|until it was dark].",
        "They laughed and played [all day|together|until dinner|until the stars came out].",
    )


# -- plots -----------------------------------------------------------------------------------------------------------


def lost(s):
    """The hero's object is gone, is searched for and found."""
    told = begin(s, ("[sad|worried|upset|unhappy]", "{he} [had lost|could not find|had lost] {his} " + s.o.full, "had lost {his} " + s.o.full), uses="o", pair=True)
    s.o.known = s.o.known or told
    if not told and not s.o.known and s.rng.random() < 0.25:
        s.say("{h} [lost|had lost|could not find] {his} {o}[| {p.at}].", '"Where is my {o}?" [asked|said|cried] {h}. {He} had lost it[| {p.at}].')
    elif not told:
        need_object(s)
        s.say(
            one_day(s) + ", {h} could not find {his} {o}.",
            one_day(s) + ", the {o} was gone[.|!]",
            one_day(s) + ", {h} lost {his} {o} {p.at}.",
            one_day(s) + ", {h} took {o.the} {p.to} and played all day. When {he} came home, the {o} was gone.",
            one_day(s) + ", {h} looked for {his} {o}, but it was not there.",
        )
        s.maybe(0.5, '"Where is my {o.noun}?" {he} [asked|said|cried].', '"Oh no! My {o.noun} is gone!" {h} cried.')
    s.maybe(0.7, "{He} looked {p.spot} and {p.spot}, but it was not there.", "{He} looked everywhere, but {he} could not find it.", "{He} looked {p.spot}. No {o.noun}. {He} looked {p.spot}. No {o.noun}.")
    s.maybe(0.5, "{H} [was|felt] very sad.", "{He} began to cry.", "{He} sat down and cried.", "{He} did not know what to do.")
    s.part()
    who = "f" if s.paired else s.rng.choice("fg")
    if s.rng.random() < 0.75:
        asks(s, who)
        s.say('"I [lost|can not find|have lost] my {o.noun}," [said|answered|cried] {h}.', '"My {o.noun} is gone," {h} said[ sadly| in a small voice|].')
        s.say(
            '"[Do not worry|Do not cry|Don\'t be sad|Don\'t worry]," said {%s}. "[I will help you|We will find it|Let us look together|I can help you look]."' % who,
            '{%s.he} [smiled|thought for a moment]. "[Where did you play last|Where did you see it last|When did you see it last]?" "[I was {p.at}|{P.at}|I think {p.at}]," said {h}.' % who,
        )
        s.say(
            "They looked and looked. At last, they saw it {p.spot}.",
            "They looked {p.spot} and {p.spot}. Then {h} saw something {p.spot}. It was {o.the}!",
            "Together they went back {p.to}. The {o} was {p.spot}!",
            "They looked all around. {%s} looked {p.spot}. There was the {o}!" % who.upper(),
            "They went back {p.to} and looked {p.spot}. And there it was!",
        )
        s.say(
            "{H} was so happy that {he} [jumped up and down|danced|laughed|gave {%s.him} a hug]." % who,
            '"[You found it|There it is|My {o.noun}|Here it is]!" [cried|shouted] {h}.',
            "{H} held the {o} tight.",
        )
        thanks(s, who)
    else:
        s.say(
            "Then {h} had an idea. {He} walked back the way {he} had come.",
            "{H} sat down to think. Where did {he} have it last? Then {he} remembered!",
            "But {h} did not give up. {He} looked again, very slowly.",
        )
        s.say("And there, {p.spot}, was the {o}!", "{He} looked {p.spot}, and there it was!", "The {o} was {p.spot}. It had been there all the time!")
    end(s, "From then on, {h} always [took good care of|looked after] {his} {o}.", "{H} never lost {his} {o} again.", "{H} [took|carried] the {o} home and put it in a safe place.", "Now {h} knew that [friends can help|it is good to ask for help|you should never give up].", "{H} was happy to have {his} {o} back.")


def lonely(s):
    """The hero has no friends, and finds one."""
    s.alone = True
    told = begin(s, ("[sad|lonely|unhappy]", "{he} had no [friends|one to play with|friends to play with|friend]", "[had no friends|was very lonely|wanted a friend|lived all alone]"))
    if not told:
        s.say("But {he} was [very |so |]lonely[|. {He} had no one to play with].", "But {h} had no friends.", "{H} wanted a friend more than anything.", "{He} played alone every day and that made {him} sad.")
    s.maybe(0.4, '"I wish I had a friend," {he} said.', '"Who will play with me?" {he} asked.', "All the others were too busy to play.")
    s.say(
        one_day(s) + ", {h} went {p.to} and saw {f}.",
        one_day(s) + ", {h} was walking {p.at} when {he} saw {f}.",
        one_day(s) + ", {f} came {p.to}.",
        one_day(s) + ", {h} heard [a noise|someone cry|a soft voice|someone sing] {p.spot}. It was {f}.",
        one_day(s) + ", {h} met {f} {p.at}.",
    )
    s.maybe(0.4, "{F} looked lonely too.", "{F} was sitting all alone.", "At first, {h} was [shy|a little afraid].", "{F} looked at {him} and smiled.")
    s.say(
        '"Hello," said {h}. "[Do you want to|Will you|Would you like to] play with me?"',
        '"Hi! What is your name?" asked {f}. "I am {h.am}," said {h}. "[Do you want to|Shall we] play?"',
        '"Who are you?" asked {h}. "I am {f.am}," said {f.the}. "I am [new here|looking for a friend|all alone]." "[Do you want to play|Shall we play|Will you be my friend]?" asked {h}.',
        '"[Can|May] I [play|sit] with you?" {h} asked [in a small voice|softly|with a smile].',
    )
    s.say('"[Yes|Oh yes|Of course|Yes, please]!" said {f}. "[I would love to|Let us play|I want a friend too|That would be fun]!"', "{F} [smiled and nodded|was very happy|jumped up with joy|said yes at once].")
    games(s)
    if s.rng.random() < 0.4:
        s.say("When the sun went down, {f} asked, \"[Will you come back|Can we play again] tomorrow?\" \"[Yes|Of course|Oh yes]!\" said {h}.")
    s.part()
    pals(s)
    end(s, "{H} was not lonely any more.", "{H} had a friend at last.", "Now {h} [had|always had] someone to play with.", "{H} learned that [a friend can be anywhere|it is good to say hello|one kind word can make a friend].")


def games(s):
    s.say(
        "They [played|ran] {p.at} and [laughed|sang songs|told jokes] [all day|all afternoon|together].",
        "They played [hide and seek|tag|with the {o}|a funny game] [all day long|until it was late|{p.at}].",
        "First they played [tag|hide and seek]. Then they [sang a song|looked for shiny stones|lay in the grass and looked at the clouds|shared {food_a}].",
        "They [had so much fun|had a lot of fun|laughed a lot]. {F} showed {h} how to [jump high|make a funny face|find sweet berries|stand on one leg].",
    )


def helping(s):
    """Somebody is in trouble, and the hero helps."""
    begin(s)
    trouble, how, after = s.rng.choice([
        ("was stuck in [the mud|a hole|a thick bush|a net]", "{H} [took a long stick and pulled|pulled and pulled|found a rope and pulled hard], until {f} was free", "was free"),
        ("had hurt {f.his} [leg|foot|arm]", "{H} [washed it with cool water and put a leaf around it|sat down and put a soft cloth around it|carried {f.him} home and took care of {f.him}]", "felt much better"),
        ("was [very |so |]hungry and had no food", "{H} [gave {f.him} {his} {food}|ran home and came back with {food_a}|shared {his} lunch with {f.him}]", "was full and happy"),
        ("could not find the way home", "{H} [took {f.his} hand|walked with {f.him}|went first], and they [followed the path|walked slowly|asked everyone they met] until they found the right place", "was home again"),
        ("was cold and shaking", "{H} [gave {f.him} {his} warm blanket|made a little fire|put {his} scarf around {f.him}|held {f.him} close]", "was warm again"),
        ("was carrying a heavy [bag|box|basket]", "{H} took one side, {f} took the other side, and together they carried it all the way", "was not tired any more"),
        ("was up [in a tree|on a high wall|on a rock] and could not get down", "{H} [brought a ladder|told {f.him} where to put {f.his} feet|climbed up and helped {f.him}], step by step", "was safe on the ground"),
    ])  # fmt: skip
    s.say(one_day(s) + ", {he} [saw|met] {f} {p.at}. {F.the} " + trouble + ".", one_day(s) + ", {he} heard [a cry|someone calling|a small voice] {p.spot}. It was {f}. {F.the} " + trouble + ".",
          one_day(s) + ", {h} {h.went} {p.to}. There {he} saw {f}, who " + trouble + ".",
          '"[Help!|Help! Help!|Help me!]" [cried|called|shouted] {f}. {F.the} ' + trouble + ". {H} heard it and came at once.")  # fmt: skip
    s.say('"[Help|Please help me|Can you help me|Help me, please]!" [cried|said|called] {f.the}.', '"[What is wrong|What happened|Are you all right|Do you need help]?" asked {h}. "[Please help me|I need help|I can not do it alone]," said {f.the}.', "{F.the} looked very sad.")
    s.say('"[Do not worry|Don\'t be afraid|Wait]," said {h}. "I will help you."', "{H} wanted to help.", "{H} was [small|a little afraid], but {he} had a big heart.", "{H} thought hard. Then {he} had an idea.", "{H} did not wait.")
    s.part()
    s.say(how + ".", "It was not easy. " + how + ".", "So {he} got to work. " + how + ".")
    s.say("Soon {f} " + after + ".", "At last, {f} " + after + ".", "After a while, {f} " + after + ".")
    s.say('"Thank you[|, {h.call}| so much]!" said {f.the}. "[You are very kind|You are a true friend|You have a good heart|I will never forget this]."', "{F.the} [smiled|gave {h} a hug|thanked {h} again and again].")
    if s.rng.random() < 0.4:
        s.say("The next day, {f} came back and gave {h} {gift_a}. \"This is for you,\" {f.he} said.", "To say thank you, {f.the} gave {h} {gift_a}.", "A few days later, {h} fell into [a hole|the mud]. This time, {f} came and helped {him}.")
    if s.rng.random() < 0.4:
        pals(s)
    end(s, "{H} felt [warm inside|good all day|very proud].", "{H} learned that helping [others makes you happy|is the best thing you can do|a friend feels good].", "{H} went home with a [big |happy |]smile.", "It feels good to help, thought {h}.")


def brave(s):
    """The hero is afraid of something, and finds the courage when it counts."""
    told = begin(s, ("[sad|scared|worried|afraid]", "{he} was afraid of {fear}" if s.rng.random() < 0.5 else "everyone laughed at {him} for being afraid of {fear}", "was [very |]afraid of {fear}"), pair=True)
    if not told:
        s.say("But {h} was afraid of {fear}.", "{H} had one problem. {He} was [very |]afraid of {fear}.", "There was one thing {h} did not like. {He} was scared of {fear}.")
    s.maybe(0.5, '"I am too scared," {he} always said.', "The others laughed at {him}.", "{He} wanted to be brave, but {he} did not know how.", "When {he} thought of {fear}, {his} heart beat fast.")
    s.say(one_day(s) + ", {f} [was in trouble|needed help|did not come home|fell and got hurt]. {F.he} was {p.at}, and no one else was there.", one_day(s) + ", {h} heard {f} call for help {p.at}.", one_day(s) + ", {h} and {f} were {p.at}. {F} [got stuck {p.spot}|fell down {p.spot}|could not get home].")
    s.say("{H} [was|felt] very scared. {His} [legs|knees|hands] were shaking.", "{H} thought of {fear} and wanted to run away.", "{H} was afraid. But {f} needed {him}.")
    s.say('"I can do this," {he} [said to {self}|whispered|thought].', "{He} took a deep breath.", "{He} closed {his} eyes, counted to three and went on.", "Then {he} thought of {his} friend and [took one step, and then one more|went on].")
    s.part()
    s.say("Step by step, {h} went to {f} and [took {f.him} home|helped {f.him} up|held {f.his} hand|brought {f.him} back].", "{H} went all the way and found {f} {p.spot}. Together they went home.", "{H} did it! {He} [reached|found] {f} and helped {f.him} get home.")
    s.say('"You [are so brave|came for me|saved me]!" said {f}. "[Thank you|You are my hero|You are the bravest {h.kind} I know]!"', '"Were you not afraid?" asked {f}. "[I was|Yes, a little]," said {h}, "but [you needed me|you are my friend|I did it anyway]."', "Everyone [cheered|clapped] for {h}.")
    end(s, "From that day on, {h} was not afraid of {fear}[| any more].", "{H} learned that being brave means [doing it even when you are scared|to try, even when you are afraid].", "{H} was proud of {self}.", "{Fear} did not look so scary any more.")


def sharing(s):
    """There is one of something, and two who want it."""
    food = s.rng.random() < 0.5
    begin(s, uses="" if food else "o", pair=True)
    if food:
        thing = s.food
        s.say(one_day(s) + ", {h} [had|found|got|was eating] {food_a}. It [smelled|looked] so good.", one_day(s) + ", {g} gave {h} {food_a}.")
        s.say("{F} came by and looked at it. {F.he} was hungry too.", 'Then {f} came. "I am so hungry," {f.he} said.', '"[May|Can] I have some?" asked {f}.')
        s.say('At first, {h} did not want to share. "[It is mine|This is mine|No]," {he} said.', "{H} wanted to eat it all alone.", "{H} looked at {his} {food}. It was not very big.")
        s.say("But then {he} saw how [sad|hungry] {f} was.", "{F} looked down at the ground and was sad.", "{H} thought about it. {He} remembered how it feels to be hungry.")
        s.part()
        s.say('"[Here|You can have half|We can share it|Let us share]," {h} said, and gave {f} [half of it|a big piece|the bigger half].', "{H} [broke|cut] it in two and gave {f} one half.")
        s.say("They sat {p.spot} and ate together. It tasted [even better|so good|very sweet].", "They ate it together and laughed.", f"The {thing} tasted better when they ate it together.")
    else:
        need_object(s)
        s.say(one_day(s) + ", {f} [saw|came and saw] the {o}. \"[Can|May] I play with it?\" {f.he} asked.", one_day(s) + ", {h} was playing with the {o} {p.at}. {F} came and wanted to play too.")
        s.say('"No, it is mine!" said {h}[| and held it tight].', "{H} did not want to share.", '"No," said {h}. "You will break it."')
        s.say("{F} was sad and went away.", "{F} [walked away|sat down alone] and began to cry.", "{F} did not say anything, but {f.he} looked very sad.")
        s.say("{H} played alone, but it was not [fun|much fun].", "Soon {h} was bored. Playing alone was no fun.", "{H} looked at {f} and felt bad.")
        s.part()
        s.say('{H} went to {f}. "I am sorry," {he} said. "[Let us play together|You can play with my {o.noun} too|We can share it]."', '"[Come back|Wait], {f.call}!" {h} called. "We can play with it together!"')
        s.say("They [took turns|played together] with the {o} [all day|all afternoon|until it was dark], and it was much more fun.", "{F} smiled, and they played with the {o} together.")
    end(s, "{H} learned that sharing [is fun|makes everyone happy|is better than playing alone|makes good friends].", "{H} was glad that {he} had shared.", "{H} and {f} were both very happy.", "After that, {h} always shared with {his} friends.")


def sorry(s):
    """The hero breaks something, hides it, and tells the truth."""
    told = begin(s, ("[sad|worried|scared]", "{he} had [broken|dropped and broken] {g.owner} [favorite |pretty |best |]" + (broken := s.rng.choice(["cup", "plate", "vase", "lamp", "clock", "bowl", "mirror", "window", "flower pot", "tea pot"])), None))
    s.broken = broken
    if not told:
        s.say(
            one_day(s) + ", {h} was [running|jumping|playing with a ball|dancing] in the house. [Crash!|Bump!|Oh no!] {g.owner} {broken} fell down and broke.",
            one_day(s) + ", {h} [threw {his} ball too high|was not careful|ran too fast] and broke {g.owner} {broken}.",
            one_day(s) + ", {h} wanted to look at {g.owner} {broken}. {He} was told not to touch it, but {he} did. It fell and broke.",
        )
    s.say("{H} was scared. {He} [hid the pieces under the bed|put the pieces in a box|hid behind the door|wanted to run away].", '"[Oh no|Oh dear]! What have I done?" {he} [thought|said].', "{He} thought that {g} would be very angry.")
    s.say('When {g} came in, {g.he} asked, "[What happened to my {broken}|Where is my {broken}|Did you see my {broken}]?"', '{G} came home. "[Where is my {broken}|What happened here]?" {g.he} asked.')
    s.maybe(0.4, '"I do not know," said {h}. But {his} face was red and {his} tummy felt funny.', "{H} looked at the floor and said nothing.", "{H} wanted to [tell a lie|say it was the cat].")
    s.part()
    s.say('Then {h} began to cry. "[I broke it|It was me|I did it]," {he} said. "I am [so |very |]sorry."', '{H} took a deep breath and told the truth. "[It was me|I broke it]. I am sorry."')
    s.say('{G} was not angry. "[Thank you for telling me the truth|I am glad you told me|It was only a {broken}|Anyone can make a mistake]," {g.he} said[| and gave {him} a hug].', '{G} hugged {him}. "[You are more important than a {broken}|It is good that you told me|It is all right]," {g.he} said.')
    s.say("Together they [cleaned up|put the pieces back together|fixed the {broken} with glue|made a new one].", "{H} helped {g.him} clean up.", "Then they went to the shop and bought a new {broken}.")
    end(s, "{H} learned [to tell the truth|that telling the truth is always best|that it is good to say sorry].", "{H} felt much better.", "After that, {h} was more careful.", "From then on, {h} always told the truth.")


def learning(s):
    """The hero wants to learn something, fails, and tries again."""
    told = begin(s, ("[sad|upset|unhappy]", "{he} [could not|did not know how to] {skill}", "[could not|wanted to learn how to|wanted to] {skill}"))
    if not told:
        s.say("{H} wanted to learn how to {skill}.", "More than anything, {h} wanted to {skill}.", "But {h} could not {skill}.", "All {his} friends could {skill}, but {h} could not.", "{H} had a dream. {He} wanted to {skill}.")
    s.say(one_day(s) + ", {he} tried {p.at}. But {he} [fell down|could not do it|did it all wrong].", one_day(s) + ", {he} tried and tried, but it did not work.", "{He} tried it {p.at}. [Bump!|Oops!|Plop!] It did not work.")
    s.say('"I can not do it!" {he} [said|cried].', '"It is too hard," said {h}.', "{H} wanted to give up.", "{He} was [sad|angry|tired] and sat down {p.spot}.", "Some of the others laughed.")
    s.say('{G} [saw|watched] {him}. "[Try again|Do not give up|It takes time|I will show you how]," {g.he} said.', '"[Do not give up|You can do it|Just keep trying]," said {g}. "I had to try many times too."', '{G} came to help. "[Go slowly|Look at me|One step at a time|Let us try it together]," {g.he} said.')
    s.say("So {h} tried again. And again. And again.", "Every day, {h} tried a little more.", "{H} tried again the next day, and the day after that.", "They practiced [every day|all day|together until it was dark].")
    s.part()
    s.say("Then, one day, {he} did it! {H} could {skill}!", "And at last, {h} could {skill}!", 'Suddenly it worked. "Look! I can {skill}!" {h} [shouted|called|cried].', "After [many days|a week|a long time], {h} could {skill} all alone.")
    s.say("{G} clapped {g.his} hands. \"[I am so proud of you|Well done|I knew you could do it]!\" {g.he} said.", "Everyone [clapped|cheered|came to watch].", '"[Hooray|I did it|Thank you for your help]!" said {h}.')
    end(s, "{H} learned that you should never give up.", "{H} was very proud.", "Now {h} helps others who want to {skill}.", "If you keep trying, you can do it, thought {h}.")


def stuck(s):
    """The object is out of reach, and is brought down."""
    begin(s, uses="o", pair=True)
    if not s.o.known:
        s.o = s.thing("tt")
    need_object(s)
    up = s.rng.choice(["in a tall tree", "on a high branch", "on top of a high rock", "on a high wall"])
    s.up = up
    s.say(
        one_day(s) + ", {h} was playing with the {o} {p.at}. {He} threw it [too high|very high|up in the air], and it [got stuck|landed] {up}.",
        one_day(s) + ", a strong wind came. It took the {o} and [blew it|carried it], and the {o} [got stuck|landed] {up}.",
        one_day(s) + ", a [cheeky|silly|big] bird took the {o} and dropped it {up}.",
    )
    s.say("{H} jumped and jumped, but {he} could not reach it.", "{He} jumped as high as {he} could, but {he} was too small.", "{H} tried to get it with a stick, but it was too high.", "{He} tried to climb up, but {he} slipped and fell.")
    sad(s)
    s.part()
    who = "f" if s.paired else s.rng.choice("fg")
    s.say('{%s} came by and saw {him}. "[I can help you|Let me help|I have an idea]," {%s.he} said.' % (who, who), '"[Can you help me?" {h} asked|Please help me!" {h} said to] {%s}. "[Of course|Yes, I can]," said {%s.the}.' % (who, who))
    s.say("{%s} [brought a long ladder|found a long stick|took a long rope] and got the {o} down." % who.upper(), "{H} climbed on {%s.his} [back|shoulders] and [reached up|stretched out]. Now {he} could reach the {o}!" % who, "{%s} shook and shook, and the {o} fell down, right into {h.owner} [arms|hands]." % who.upper() if s.h.name else "Together they shook and pushed, and at last the {o} fell down.")
    thanks(s, who)
    end(s, "{H} and {%s} played with the {o} [together|all day]." % who, "After that, {h} was more careful with {his} {o}.", "{H} was glad to have {his} {o} back.", "{H} held the {o} tight and went home.")


def bedtime(s):
    """The hero can not sleep, and at last does."""
    told = begin(s, ("[tired|sad|sleepy|grumpy]", "{he} could not sleep", "[could not sleep|did not like to go to bed|never wanted to sleep]"))
    s.say("[It was|That night, it was] time for bed, but {h} [was not tired|could not sleep|did not want to sleep]." if not told else "It was late and [the stars were out|the moon was high in the sky|everyone else was asleep].")
    s.say("{He} [turned left and turned right|counted sheep|closed {his} eyes, then opened them again|looked out of the window].", "{He} heard [the wind in the trees|a funny noise|the clock go tick tock].", '"[I am not sleepy|I can not sleep|I want to play]," {he} said.')
    s.say("{G} came in. \"[Can you not sleep|What is wrong|Why are you still awake], [my dear|little one|{h.call}]?\" {g.he} asked.", "{H} went to {g}. \"I can not sleep,\" {he} said.")
    s.part()
    s.say('"[Let us look at the stars|I will tell you a story|I will sing you a song|Think of something nice|Close your eyes and listen]," said {g}.', "{G} sat down [next to {him}|on the bed] and [sang a soft song|told {him} a story about {o.a}|read {him} a book|counted the stars with {him}].", "{G} gave {him} [warm milk|a warm blanket|a soft pillow] and [a kiss|a big hug].")
    s.say("{H} listened. [The song was slow and soft.|The story was long and funny.|The night was quiet.] {His} eyes grew heavy.", "Slowly, {h} felt [warm and safe|sleepy].", "{H} yawned. {He} thought of {p.the} and of all the things {he} had done that day.")
    s.maybe(0.4, '"Good night," {he} whispered.', '"Good night, sleep well," said {g}.')
    s.part()
    s.say("Soon {h} was fast asleep.", "And then {h} fell asleep and dreamed of {p.the}.", "{He} closed {his} eyes and slept until the morning.", "{H} slept and had [sweet dreams|the nicest dream of all|a lovely dream].")
    s.maybe(0.3, "Good night, {h.call}.", "In the morning, {he} woke up [happy|with a smile|and was ready to play].")


def baking(s):
    """Something is baked, goes wrong or well, and is eaten together."""
    begin(s, pair=True)
    s.say(one_day(s) + ", {h} wanted to make {dish_a} [for {f}|for {g}|for {his} friends|for a party].", one_day(s) + ', "[Let us make {dish_a}!|Shall we make {dish_a}?]" said {g}. "[Yes|Oh yes]!" said {h}.', one_day(s) + ", {h} was hungry. {He} [wanted|decided] to make {dish_a}.")
    s.say("{He} took [a big bowl|a pot|a spoon], [flour|milk|sugar] and [eggs|butter|honey].", "First, {he} [put everything in a big bowl|went to the market to get all that {he} needed|washed {his} hands].", "{He} mixed and mixed, until everything was [smooth|ready|white with flour].")
    if s.rng.random() < 0.5:
        s.say("But oh no! {He} put in [salt|too much salt|pepper] instead of sugar. It tasted [awful|bad|terrible].", "But {he} forgot about it and it [burned|turned black]. There was smoke everywhere.", "Then {he} dropped the bowl, and everything fell on the floor.")
        s.say('"[Oh no|It is all my fault|Now we have no {dish}]!" {h} cried.', "{H} was very sad.")
        s.say('"[Do not worry|Don\'t cry]," said {g}. "[We can try again|Let us make a new one|We will do it together]."', "{G} [laughed and hugged {him}|smiled]. \"[It happens to everyone|Let us try again],\" {g.he} said.")
        s.say("This time, {h} was very careful.", "They started again, and this time they did it right.")
    s.part()
    s.say("Soon the house smelled [wonderful|so good|sweet].", "When it was done, the {dish} was [warm and sweet|big and golden|perfect].", "They waited and waited. At last, the {dish} was ready.")
    s.say("{H} gave a piece to {f} and a piece to {g}. \"[Yummy|Mmm|This is so good]!\" they said.", "Everyone came to eat. \"This is the best {dish} [ever|in the world]!\" said {f}.", "{H} shared the {dish} with all {his} friends.", "They sat down and ate until they were full.")
    end(s, "{H} was very proud of {his} {dish}.", "And there was not one bit left.", "{H} learned that [it is fun to cook together|things taste better when you share them|it is all right to try again].", "Everyone was full and happy.")


def race(s):
    """A race: the slow one, the proud one, or both together."""
    begin(s, pair=True)
    s.say(one_day(s) + ", there was a big race {p.at}.", one_day(s) + ', {f} said, "[Let us have a race|I am faster than you|Let us see who is faster]!"', one_day(s) + ", all the animals wanted to run a race {p.at}.")
    s.say('"I am [the fastest|faster than everyone|sure I will win]," said {f}.', "{F} was very fast and very proud.", "{H} was [not very fast|small], but {he} wanted to try.", '"[You are too slow|You can never win]!" laughed {f}.')
    s.say('"[One, two, three, go|Ready, set, go]!" [someone called|shouted {g}|called {g}].', "{G} said, \"Ready, set, go!\" and they ran.")
    s.part()
    ending = s.rng.randrange(3)
    if ending == 0:
        s.say("{F} ran fast and was soon far ahead. \"I have time to [sleep|rest|eat],\" {f.he} thought and sat down {p.spot}.", "Soon {f} was tired and stopped {p.spot}.")
        s.say("But {h} did not stop. {He} went on and on, slow and steady.", "{H} just kept going, one step after the other.")
        s.say("When {f} looked up, {h.call} was already at the end. {H} had won!", "{H} passed {f.him} and won the race!")
        s.say('"You won!" said {f}. "[I am sorry that I laughed|Well done|I should not have stopped]."', "Everyone cheered for {h}.")
    elif ending == 1:
        s.say("{H} was ahead. Then {he} heard a cry. {F} had fallen down and hurt {f.his} [leg|foot].", "They were almost at the end when {f} [fell down|fell over a stone].")
        s.say("{H} stopped. {He} [could win now, but|wanted to win, but] {he} turned back and helped {f} up.", '"Are you hurt?" asked {h}, and helped {f.him} up.')
        s.say("They walked to the end together, side by side.", "Together they crossed the line. They both won!")
        s.say("Everyone clapped.", '"You are a true friend," said {f}.')
    else:
        s.say("{H} ran as fast as {he} could. {His} heart beat fast.", "They ran {p.spot}, around the corner and back again.")
        s.say("They came to the end at the very same time!", "{F} won, and {h} was second.")
        s.say('"That was fun!" said {h}. "[Let us do it again|Well done, {f.call}]!"', "They both laughed, because it had been so much fun.")
    end(s, "{H} learned that [it is not important to win|friends are more important than winning|slow and steady can win].", "Then they all had a [party|picnic].", "{H} and {f} were good friends.", "{H} was happy and tired.")


def found(s):
    """The hero finds something, and gives it back or shares it."""
    begin(s)
    if s.o.known:
        s.o = s.thing("ssu")
    s.say(one_day(s) + ", {he} was walking {p.at} when {he} saw something {p.spot}. It was {o.a}!", one_day(s) + ", {h} found {o.a} [{p.spot}|{p.at}].", one_day(s) + ", something shiny {p.spot} caught {his} eye. {He} looked closer. It was {o.a}!")
    s.say('"[Wow|Oh|How pretty]!" said {h}. "[Whose is it|Who lost it|I wonder whose it is]?"', "{H} picked it up. It was [beautiful|so pretty|the best thing {he} had ever seen].", "{He} wanted to keep it.")
    s.say("{He} took it home and [showed it to {g}|put it under {his} pillow].", "Then {he} heard someone cry. It was {f}.", "But then {he} thought, \"Someone must be looking for it.\"")
    s.part()
    s.say("{F} was looking for something. \"I lost my {o.noun},\" {f.he} said. \"I am so sad.\"", '{H} went and asked everyone. "Is this your {o.noun}?" "No," they said. Then {he} met {f}. "Yes! That is mine!" said {f.the}.')
    s.say("{H} wanted to keep it, but {he} knew what was right. \"Here you are,\" {he} said.", "{H} gave it back at once.", '"I found it {p.at}," said {h}, and gave {f.him} the {o}.')
    s.say('"Thank you! [You are so honest|You are very kind|I was so worried]," said {f}.', "{F} was so happy that {f.he} gave {h} {food_a}.", "{F} smiled a big smile and hugged {him}.")
    end(s, "{H} had lost [a treasure|the {o}], but {he} had found a friend.", "{H} learned that it feels good to do the right thing.", "{H} was happy, because {f} was happy.")
    s.maybe(0.3, "And they became friends.")


def storm(s):
    """A storm comes, shelter is found, the sun comes back."""
    s.sky = "windy"
    s.shelter = s.rng.choice(["small cave", "little hut", "hollow tree", "big rock", "old barn"])
    begin(s, pair=True)
    s.say(one_day(s) + ", {h} and {f} were [playing|walking] {p.at}. Suddenly the sky grew dark.", one_day(s) + ", {h} went {p.to} with {f}. Then big, dark clouds came.", one_day(s) + ", a storm came {p.to}. {H} was out with {his} friend, {f}.")
    s.say("The wind blew hard, and it began to rain.", "Thunder went boom, and the rain came down.", "The wind howled and the rain fell and fell.", "There was a loud boom and a bright flash.")
    s.say('"I am scared," said {f}.', '"[What shall we do|Where can we go]?" {f} cried.', "They were wet and cold.", "{F} began to cry.")
    s.say('"[Hold my hand|Follow me|Come with me|Stay close to me]," said {h}. "[I know a safe place|We will be all right|I see a light]."', "{H} was scared too, but {he} did not show it.", "{H} looked around and saw {shelter_a}.")
    s.part()
    s.say("They ran to the {shelter} and hid. It was dry and safe there.", "They hid there. Inside, they met {g}. \"Come in and get warm,\" {g.he} said." if not s.g.later else "They hid there.")
    s.say("They [sang songs|told stories|held hands|shared {food_a}] until the storm was over.", "{H} told a funny story, and soon they were laughing.", "They sat close together and listened to the rain.")
    s.say("After a while, the rain stopped and the sun came out.", "At last, the wind was quiet again.", "Then it was quiet. The storm was over.")
    s.say('"Look!" said {h}. There was a big rainbow in the sky.', "They saw a beautiful rainbow over {p.the}.", "Everything was wet and shiny.", "They jumped in the puddles all the way home.")
    end(s, "{F} was not afraid of storms any more.", "They went home, happy and safe.", "After every storm the sun comes back, thought {h}.", '"[Thank you for being brave|I am glad you were with me]," said {f}.')


def building(s):
    """Something is built: alone it fails, together it stands."""
    begin(s, pair=True)
    s.work = s.rng.choice(["tree house", "sand castle", "tower", "little boat", "bridge", "snow fort", "bird house", "little house", "rocket", "cart", "tent", "raft", "dam", "fort"])
    s.say(one_day(s) + ", {h} had an idea. {He} wanted to build {work_a} {p.at}.", one_day(s) + ', {h} said, "I will build {work_a}."', one_day(s) + ", {h} wanted to make {work_a}.")
    s.say("{He} [took|found|collected] [wood|sticks|stones|boxes] and [leaves|rope|mud|nails] and began to work.", "{He} worked [all morning|very hard|until {his} hands hurt].")
    s.say("But the {work} fell down.", "Then the wind came, and [crash|boom], the {work} fell apart.", "It was too hard to do alone.", "But one [piece|side] was too heavy for {him}.")
    s.maybe(0.5, "{H} was sad.", '"I can not do it alone," {he} said.', "{He} kicked a stone and sat down.")
    s.part()
    s.say('{F} came by. "[What are you doing|Can I help|May I help you]?" {f.he} asked.', "{H} asked {f} for help.", '{F} saw it. "[Let us build it together|I can help you|Two are stronger than one]," {f.he} said.')
    s.say("{H} held the [wood|sticks|stones], and {f} put them in the right place.", "{F} brought [big stones|long sticks|more wood], and {h} put everything together.", "They worked together, and it was [easy|much faster|fun].")
    s.say("In the evening, the {work} was [done|ready|finished]. It was [big and strong|beautiful|the best {work} in the world].", "At last, the {work} was done.", '"Look at our {work}!" said {h}. "[We did it|It is wonderful]!"')
    end(s, "They played in it every day." if s.work in ("tree house", "sand castle", "snow fort", "little house", "rocket", "tent", "fort", "raft", "little boat", "cart") else "Everyone came to see it.", "{H} learned that working together makes everything easier.", "{H} and {f} were very proud.", "They put a little flag on top and laughed.")


def secret(s):
    """A door, a path or a map leads to a hidden place."""
    begin(s)
    hidden = s.rng.choice(["a secret garden", "a hidden cave", "a little blue lake", "a field full of flowers", "a tiny village", "an old castle", "a room full of books", "a tree with golden apples", "a waterfall", "a garden with talking flowers"])
    s.hidden, s.hid = hidden, hidden.split(" ", 1)[1]
    s.say(one_day(s) + ", {h} found a [small|little|green|wooden|secret] door {p.spot}.", one_day(s) + ", {he} saw a [small|narrow|strange] path that {he} had never seen before.", one_day(s) + ", {h} followed a [butterfly|little bird|blue light|white rabbit] {p.at}.", one_day(s) + ", {h} found an old map {p.spot}.")
    s.say('"Where does it [go|lead]?" {he} [wondered|asked].', "{He} was curious and [went on|wanted to know more].", "{He} looked around. No one was there.", "{His} heart beat fast.")
    s.say("{He} went on and on, until {he} came to {hidden}.", "Behind it was {hidden}!", "And what did {he} see? {Hidden}!")
    s.part()
    s.say("It was [the most beautiful place {he} had ever seen|so quiet and beautiful|like a dream].", "There were [flowers|butterflies|lights] everywhere.", "{He} could hardly believe {his} eyes.")
    s.say('In the middle sat {f}. "[Welcome|Hello|I was waiting for you]," said {f.the}. "[Not many find this place|This is a magic place|You may stay and play]."', "{F} was there. \"[You found my secret place!|How did you get here?]\" {f.he} said.")
    s.say("They [played|ate sweet berries|sang songs|told stories] until [the sun went down|it was time to go home].", "{F} gave {h} {gift_a}. \"[Come back soon|Keep it, so you never forget this place],\" {f.he} said.")
    end(s, "{H} came back to the {hid} every day.", "{H} went home and kept the secret.", "It was their secret place from then on.", "{H} promised to come back soon.")


def trip(s):
    """A day out that goes a little wrong and ends well."""
    begin(s, pair=True)
    if s.paired:
        s.g = s.f
    s.say(one_day(s) + ", {h} and {g} went {p.to}.", one_day(s) + ', "[Let us go {p.to}!|Shall we go {p.to}?]" said {g}. {H} [jumped with joy|was so excited|clapped {his} hands].', one_day(s) + ", {h} and {g} wanted to go {p.to}.")
    s.say("They took {food_a}, a blanket and {o.a}.", "They packed a big bag with food and water.", "It was a long way, but {h} [sang a song|was not tired|asked many questions].")
    s.say("There they saw {q1} and {q2}.", "{H} saw {q1}. \"Look!\" {he} [said|cried].", "They played {p.spot} and had a picnic.")
    s.part()
    s.say("Then it began to rain. They [ran under a tree|hid under the blanket] and laughed.", "But when they wanted to eat, the food was gone! {Q1} had eaten it all.", "Then {h} looked around. {He} had lost the others! {He} stood still and waited, and soon they found {him}.", "{H} fell and hurt {his} knee. {G} kissed it, and it was better." if s.g.later else "{H} fell and hurt {his} knee, but soon it was better.", "They stayed until the sky was red and the sun went down.")
    s.say('"What a day!" said {h}.', "On the way home, {h} fell asleep.", "In the evening, they went home, [tired|hungry] and happy.", '"Can we come back tomorrow?" asked {h}.')
    end(s)


def birthday(s):
    """A present has to be found for a friend."""
    begin(s, pair=True)
    s.o = s.thing()
    s.part()
    s.say("It was the birthday of {f}.", "{H} got a letter. {F} was having a birthday party!", "{H} wanted to make {f} happy. It was {f.his} birthday.")
    s.say("{H} wanted to give {f.him} a present, but {he} had no money.", '"What can I give {f.him}?" {h} [thought|asked].', "{H} did not know what to give.")
    s.say("{He} asked {g}. \"[Give something from your heart|Make something|Think of what {f.he} likes],\" {g.he} said.", "{He} looked {p.at}, but {he} found nothing.")
    s.part()
    s.say("So {h} made {o.a}. It took all day.", "Then {h} had an idea. {He} took {o.a} and put a [red|blue|yellow|pretty] ribbon on it.", "{He} [found|made] {o.a} and [painted it|cleaned it until it was shiny|put it in a box].")
    s.say('At the party, {f} opened the present. "[Oh|Wow]! {O.a}!" {f.he} said. "[I love it|It is the best gift of all|That is just what I wanted]!"', "{F} was so happy. {F.he} [hugged {h}|danced with joy|loved the {o}].")
    s.say("They ate [cake|{dish}|ice cream] and [danced|sang songs|played games].", "Then they all ate {dish} and played games.")
    end(s, "{H} learned that the best gifts come from the heart.", "It was the best party ever.", "{H} was as happy as {f}.")


def wish(s):
    """A wish is granted, and is not what it seemed."""
    what, trouble = s.rng.choice([
        ("be [very |]big", "But now {he} was too big for {his} {h.home}. {He} could not play with {his} friends any more"),
        ("be [very |]small", "But now everything was so big. Even a little ant looked scary"),
        ("have all the [cakes|cookies|candy] in the world", "{He} ate and ate until {his} tummy hurt"),
        ("never go to bed", "But soon {he} was so tired that {he} fell asleep in {his} soup"),
        ("have a hundred toys", "But there were so many toys that {he} could not find {his} bed"),
        ("be the [king|queen|boss] of {p.the}", "But everyone came with questions, and {he} had no time to play"),
        ("have [wings|a long tail|golden hair]", "But it was very hard to sit down, and everyone laughed"),
        ("be invisible", "But now nobody could see {him}, and nobody talked to {him}"),
    ])  # fmt: skip
    told = begin(s, ("[sad|unhappy]", "{he} wanted to " + what, "wanted to " + what))
    if not told:
        s.say("But {h} was not happy. {He} wanted to " + what + ".", "{H} had one wish. {He} wanted to " + what + ".")
    s.say(one_day(s) + ", {he} met {f} {p.at}. \"I can give you one wish,\" said {f.the}.", one_day(s) + ", {he} found {o.a} {p.spot}. \"I am magic,\" it said. \"[Tell me your wish|You have one wish].\"", one_day(s) + ", {he} saw a falling star and made a wish.")
    s.part()
    s.say("[Puff!|Whoosh!|Pop!] The wish came true! At first, {h} was very happy.", "And it came true! {H} laughed and danced.")
    s.say(trouble + ".")
    s.say('"[I do not like this|I made a mistake|This is not what I wanted]," {he} said.', "{H} was sad and wanted everything to be as before.")
    s.say("{He} closed {his} eyes and wished it all away. When {he} opened them, everything was as before.", '"[Please|I wish], let everything be as it was before," {he} said. And so it was.')
    end(s, "{H} was happy just the way {he} was.", "{H} learned to be happy with what {he} had.", "{H} ran to {his} friends and hugged them all.")


def missing(s):
    """The hero gets lost, and is brought home."""
    told = begin(s, ("[scared|sad|afraid]", "{he} was lost {p.at}", "was lost {p.at}"))
    if not told:
        s.say(one_day(s) + ", {h} went too far from home and got lost {p.at}.", one_day(s) + ", {h} ran after [a butterfly|a ball|a bird] and did not look where {he} was going. Soon {he} was lost {p.at}.", one_day(s) + ", {h} {h.went} {p.to}. When {he} turned around, {he} did not know the way home.")
    s.say('"Where is my home?" {he} [cried|asked].', "Everything looked the same.", "{He} looked left and right, but {he} saw nothing {he} knew.", "It was getting dark, and {h} was afraid.")
    s.say("{He} sat down {p.spot} and began to cry.", "{He} called for {g}, but nobody answered." if s.g.later else "{He} called for help, but nobody answered.")
    s.part()
    s.say('{F} [heard|saw] {him}. "[Are you lost|Why are you crying]?" {f.he} asked.', 'Then {h} met {f}. "I want to go home," said {h}.')
    s.say('"I know the way," said {f}. "[Come with me|Follow me]."', '"What does your home look like?" asked {f.the}. "It is near a big tree," said {h}. "I know that tree!" said {f.the}.', '"Do not be afraid. I will take you home," said {f}.')
    s.say("They went [over the hill|along the river|down the path] and past {q1}.", "They walked hand in hand until they saw a light." if not s.water else "They swam and swam until they saw a light.", "{F} went first, and {h} went after {f.him}.")
    s.say("At last, {h} saw {his} {h.home}. {G} was waiting there and hugged {him}." if s.g.later else "At last, {h} saw {his} {h.home}.", "\"[There it is|That is my home]!\" cried {h}.")
    thanks(s, "f")
    end(s, "{H} never went so far away alone again.", "{H} was happy to be home.", "It is good to be home, thought {h}.")


def hide_and_seek(s):
    """A game in which one hides too well."""
    begin(s, pair=True)
    s.say(one_day(s) + ', {h} said[| to {f}], "[Let us play hide and seek!|Shall we play hide and seek?]"', one_day(s) + ", {h} and {f} played hide and seek {p.at}.")
    s.say('{F} closed {f.his} eyes and counted[| to ten]. "One, two, three..."', "{F} counted, and {h} ran to hide.", '"You count, and I hide," said {h}. So {f} began to count.')
    s.say("{H} hid {p.spot}. It was a very good place.", "{H} looked around. Where could {he} hide? {He} hid {p.spot}.", "{H} ran as fast as {he} could and hid {p.spot}.")
    s.say("{F} looked {p.spot}. No one was there. {F.he} looked {p.spot}. No one was there.", "{F} looked everywhere, but {f.he} could not find {him}.")
    s.part()
    s.say("{H} waited and waited. It was so quiet that {he} fell asleep.", 'Then {h} began to [laugh|giggle|sneeze]. "[I hear you|There you are|I found you]!" {f} called.', '"[Where are you|Come out, please], {h.call}!" {f} called. {F.he} was worried.')
    s.say('"Boo!" said {h} and jumped out. {F} jumped too, and then they both laughed.', 'At last, {f} saw {h.his} foot. "[Found you|Got you]!" {f.he} [said|cried].', "{F} found {h} {p.spot} and they laughed and laughed.")
    s.say('"Now it is my turn," said {f}.', "They played until it was dark.", '"You are very good at hiding!" said {f}.')
    end(s, "They went home, tired and happy.", "It was the best game ever.", "The next day, they played again.")


def broken_toy(s):
    """The object breaks, and is mended."""
    told = begin(s, ("[sad|upset|unhappy|angry]", "{his} " + s.o.full + " [was broken|broke|did not work any more]", None), uses="o")
    s.o.known = s.o.known or told
    if not told:
        need_object(s)
        s.say(one_day(s) + ", {h} fell, and the {o} broke.", one_day(s) + ", the {o} [fell down|fell on a stone|was dropped] and broke.", one_day(s) + ", {h} [was not careful|played too wildly|stepped on it]. Crack! The {o} was broken.", one_day(s) + ", {f} wanted to look at the {o}, but {f.he} dropped it, and it broke.")
    s.say('"[Oh no|My poor {o.noun}]!" {h} [said|cried].', "{H} held the pieces and cried.", "{He} tried to put it together, but it did not work.", "{H} was very sad.")
    s.say('{H} took it to {g}. "[Can you fix it|Can you help me]?" {he} asked.', '{G} [saw|heard] {him}. "[Let me see|Do not cry|Show me]," {g.he} said.', asks_line("g"))
    s.say('{G} looked at the {o}. "[It is not so bad|I think we can fix it|We need some glue]," {g.he} said.', '"I can fix it," said {g}. "But you have to help me."')
    s.part()
    s.say("They took [glue|string|a needle|a hammer] and worked [all day|slowly and carefully|together].", "{G} held it, and {h} put [the glue|the string] around it.", "{H} helped, and soon it was done.")
    s.say("Now the {o} was [as good as new|whole again|even better than before].", "The {o} looked a little different now, but {h} loved it even more.", '"It works!" cried {h}.')
    thanks(s, "g")
    end(s, "{H} played with {his} {o} all day." if s.o.sort in "tg" else "{H} took good care of it from then on.", "From then on, {h} was very careful with it.", "{H} learned that [broken things can be fixed|some things need time].")


def asks_line(who):
    return 'Then {%s} came. "[What is wrong|Why are you crying|What happened], {h.call}?" {%s.he} asked.' % (who, who)


def sick(s):
    """A friend is ill and is visited."""
    begin(s, pair=True)
    s.say(one_day(s) + ", {h} [wanted|waited] to play with {f}, but {f} was [sick|ill] in bed.", one_day(s) + ", {h} heard that {f} was [sick|ill|not well].", one_day(s) + ", {f} did not come to play. {F.he} was sick.")
    s.say('"Poor {f.call}!" said {h}. "What can I do?"', "{H} was sad for {him_f}.", "{H} wanted to make {him_f} feel better.")
    s.say("{He} [made|cooked] some warm soup and [picked some flowers|took {food_a}].", "{He} took {food_a} and {o.a} and went to {f.his} house.", "With the help of {g}, {he} made {dish_a}.")
    s.part()
    s.say('{H} knocked at the door. "[I came to see you, {f.call},|How are you, {f.call}?|I brought you something,]" {he} said.', "{F} was lying in bed. {F.his} face was [pale|hot|very red].")
    s.say('{F} smiled a little. "[It is so nice that you are here|You came to see me|I feel better already]," {f.he} said.', "{F} ate it all and felt a little better.")
    s.say("{H} [told {f.him} a story|read {f.him} a book|sang {f.him} a song|sat with {f.him}] until {f.he} fell asleep.", "Every day {h} came and [told a funny story|brought something nice].")
    s.say("A few days later, {f} was well again.", "Soon {f} could run and play again.", "The next week, {f} was all better.")
    end(s, "They went {p.to} and played together.", "{H} and {f} were happy to play again.", '"You are the best friend in the world," said {f}.', "A good friend is the best medicine, thought {f}.")


def night_noise(s):
    """A strange noise turns out to be nothing to fear."""
    begin(s)
    s.part()
    s.say("[One night|That night|Late at night], {h} heard a [strange|loud|funny|scary] noise.", "When it was dark, there was a noise. [Scratch, scratch|Tap, tap, tap|Bump, bump|Whoo, whoo].", "[One night|In the night], something [moved|made a noise] outside.")
    s.say('"[What is that|Who is there|Is it a monster]?" {h} [whispered|asked].', "{H} [hid under the blanket|was very scared|could not move]. {His} heart beat fast.")
    s.say("{He} took [a lamp|a light|a stick] and went to look.", '{He} called {g}. "I heard a noise!" {G} took {his} hand. "[Let us look together|Do not be afraid]," {g.he} said.', "{He} took a deep breath and opened the door, very slowly.")
    s.part()
    s.say("It was only {f}! \"[I am sorry|I did not mean to scare you]. I was [hungry|cold|looking for my way home|all alone],\" {f.he} said.", "There was {f}, wet and cold. \"[May I come in|Can I stay here], please?\" {f.he} asked.")
    s.say('"[Come in|Of course|Do not worry]," said {h}, and gave {f.him} [{food_a}|a blanket|some warm milk].', "{H} laughed. {He} was not scared any more.")
    s.say("They sat together and talked until they were sleepy.", "{F} slept next to {him} that night.", '"I thought you were a monster!" said {h}, and they both laughed.')
    end(s, "After that, {h} was not so afraid of the dark.", "{H} learned that scary things are often not scary at all.", "In the morning, they were friends.")


def growing(s):
    """Something is planted and needs patience."""
    begin(s)
    what = s.rng.choice(["flower", "tree", "sunflower", "pumpkin", "apple tree", "carrot", "bean", "rose", "strawberry plant"])
    s.plant = what
    s.say(one_day(s) + ", {h} [found|got] a [tiny|small|strange|little] seed.", one_day(s) + ', {g} gave {h} a [tiny|small|little] seed. "[Take good care of it|Put it in the ground and wait]," {g.he} said.', one_day(s) + ", {h} wanted to grow {plant_a}. {He} had one small seed.")
    s.say("{He} put it in the ground {p.at} and gave it water.", "{He} made a little hole {p.spot}, put the seed in and gave it some water.")
    s.say("The next day, {he} looked. Nothing. The day after that, {he} looked again. Still nothing.", "{He} waited and waited, but nothing happened.", '"Why does it not grow?" {h} asked every day.')
    s.say('"[Be patient|Wait a little longer|Good things take time]," said {g}.', "{F} laughed. \"Nothing will grow there,\" {f.he} said. But {h} went on giving it water.", "{H} was sad, but {he} did not give up. {He} [sang to it|gave it water] every day.")
    s.part()
    s.say("Then, one morning, there was something green! It was very small.", "After a long time, a little green leaf came out of the ground.", '"Look! Look!" {h} called. A tiny leaf was coming out of the ground.')
    s.say("It grew and grew, until it was a big, beautiful {plant}.", "Every day it grew a little more. At last, it was the most beautiful {plant} {p.at}.")
    s.say("Everyone came to see it.", '"It was good to wait," said {h}.', '{H} and {g} danced around it.', "{H} showed it to {f}. \"It is beautiful!\" {f.he} said.")
    end(s, "{H} learned to be patient.", "{H} was very proud of {his} {plant}.", "Good things take time, thought {h}.")


def egg(s):
    """An egg is found, kept warm, and hatches."""
    if s.water:
        return found(s)
    begin(s)
    baby = s.rng.choice(["little bird", "baby duck", "baby dragon", "tiny turtle", "little chick", "baby dinosaur", "small owl", "baby penguin"])
    s.baby = baby
    s.say(one_day(s) + ", {h} found a [big|strange|blue|white|spotted|round] egg {p.spot}.", one_day(s) + ", {he} saw something round {p.spot}. It was an egg!")
    s.say('"[Where is your mother|Whose egg is this|Who are you]?" {h} asked.', "{He} looked around, but no one was there.", "The egg was cold.")
    s.say("{H} put it in [a warm blanket|some soft grass|{his} hat] and kept it warm.", "{He} sat down next to it and kept it warm all night.", "{He} took it home and showed it to {g}. \"Keep it warm,\" {g.he} said.")
    s.part()
    s.say("The next morning, there was a noise. Crack! The egg broke, and out came {baby_a}!", "After three days, the egg began to move. Crack, crack! {Baby_a} looked out.")
    s.say('"Hello, little one," said {h}. The {baby} [looked at {him}|opened its eyes] and [smiled|said, "Peep!"|said, "Mama?"]', "The {baby} was very small and very hungry. {H} gave it {food_a}.")
    s.say("From then on, the {baby} followed {h} everywhere.", "{H} showed it how to [walk|eat|play], and it grew every day.", "Then its mother came. She was so happy to see her baby. \"Thank you for keeping it warm,\" she said.")
    end(s, "{H} was happy to have a new friend.", "{H} took good care of it.", "They were friends for ever.")


def show(s):
    """The hero is shy about what {he} can do, and shows it at last."""
    art, verb = s.rng.choice([("sing", "sang a beautiful song"), ("dance", "danced and jumped and turned around"), ("play the drum", "played the drum, boom, boom, boom"), ("tell funny stories", "told a very funny story"), ("do magic", "did a magic trick"), ("play the flute", "played a soft, sweet song"), ("whistle", "whistled like a bird"), ("juggle", "threw three apples up in the air and caught them all")])
    s.art = art
    told = begin(s, ("[shy|sad|nervous]", "{he} had to " + art + " in front of everyone", "loved to " + art))
    s.say("{H} could {art} very well, but {he} was too shy." if told else "{H} loved to {art}, but only when {he} was alone.", "{H} was [very |too |]shy. {He} only did it {p.spot}, where no one could see {him}.")
    s.say(one_day(s) + ", there was a big show {p.at}. Everyone could come and show something.", one_day(s) + ', {f} heard {him}. "[That is wonderful|You are so good]! You must be in the show!" {f.he} said.', one_day(s) + ', {g} said, "There will be a show. Will you {art} for us?"')
    s.say('"[I can not|No, I am too shy|What if they laugh at me]," said {h}.', "{H} was afraid that everyone would laugh.")
    s.say('"[Just look at me|I will be there|Close your eyes and do it]," said {f}.', '"You can do it," said {g}. "We all love you."')
    s.part()
    s.say("When it was {h.owner} turn, {his} knees were shaking. {He} took a deep breath.", "The big day came. {H} stood in front of everyone. It was very quiet.")
    s.say("Then {he} " + verb + ".", "{He} closed {his} eyes and " + verb + ".")
    s.say("When {he} stopped, everyone clapped and cheered.", '"[Bravo|More, more|Wonderful]!" everyone called.', "{F} clapped the loudest of all.")
    end(s, "{H} was not so shy any more.", "{H} was very proud.", "{H} learned to believe in {self}.", "From then on, {h} loved to {art} for others.")


def new_kid(s):
    """Somebody is laughed at for being different, and the hero is kind."""
    begin(s)
    odd = s.rng.choice(["had very big ears", "could not run fast", "had a funny voice", "wore a strange hat", "was very small", "was very big", "had spots all over", "did not talk much", "came from far away", "had a crooked tail", "was different from all the others"])
    s.say(one_day(s) + ", {f} came {p.to} for the first time. {F.he} " + odd + ".", one_day(s) + ", {h} saw {f} {p.at}. {F.he} " + odd + ", and [nobody wanted to play with {f.him}|the others laughed at {f.him}].")
    s.say('The others [laughed|pointed at {f.him}]. "[Go away|You can not play with us|You look funny]!" they said.', "No one talked to {f.him}. {F} stood all alone.")
    s.say("{F} looked at the ground. A tear ran down {f.his} face.", "{F} walked away and sat down {p.spot}.")
    s.say("{H} did not like that.", '"That is not nice," {h} said to the others.', "{H} remembered how it feels to be alone.")
    s.part()
    s.say('{H} went to {f}. "[Hello, I am {h.am}|Do not listen to them|I like you just as you are]," {he} said. "[Will you play with me|Do you want to play]?"', "{H} sat down next to {f.him} and gave {f.him} [half of {his} {food}|{food_a}].")
    games(s)
    s.say('The others saw how much fun they had. "[Can we play too|May we play with you]?" they asked. "[Yes|Of course]," said {f}.', "Soon all the others came and wanted to play too.", '"We are sorry," said the others. "Will you play with us?"')
    end(s, "{H} learned that [everyone is special|it is good to be different|a kind word can change everything].", "{H} and {f} were friends from that day on.", "No one laughed at {f} any more.")


def set_free(s):
    """An animal in a trap or a cage is set free, and comes back as a friend."""
    if s.water:
        return helping(s)
    begin(s)
    s.bird = s.rng.choice(["bird", "butterfly", "firefly", "bee", "mouse", "parrot", "frog", "rabbit"])
    s.say(one_day(s) + ", {h} caught a [pretty|little|blue|yellow] {bird} and put it in a [box|jar|cage].", one_day(s) + ", {h} found a [little|pretty|white] {bird} {p.spot}. {He} put it in a box and took it home.")
    s.say('"Now you are mine," {he} said. {He} was very happy.', '"I will keep you for ever," said {h}.')
    s.say("But the {bird} did not [sing|move|eat]. It looked out and was sad.", "The next day, the {bird} was very quiet. It did not want to eat.")
    s.say('"Why is it so sad?" {h} asked {g}. "It [wants to be free|misses its home|misses its family]," {g.he} said.', '"How would you feel in a box?" asked {g}.')
    s.part()
    s.say("{H} thought about it for a long time. Then {he} took the {bird} outside and opened the door.", "{H} was sad, but {he} knew what was right. {He} went back {p.to} and let it go.")
    s.say('"[Go home|You are free|Goodbye], little {bird}," {he} said.', "The {bird} looked at {him} once more and then it was gone.")
    s.say("The next morning, {h} heard a soft sound. The {bird} was at the window!", "From then on, the {bird} came to see {him} every day.", "A few days later, the {bird} came back and brought its friends.")
    end(s, "{H} learned that everyone wants to be free.", "{H} was happy, because {his} friend was happy.", "{H} never put an animal in a box again.")


def giving(s):
    """The hero has little to spend, and gives it away."""
    begin(s)
    s.say(one_day(s) + ", {h} had one [gold |silver |shiny |]coin. {He} wanted to buy {o.a}.", one_day(s) + ", {h} went to the shop to buy {o.a}. {He} had saved for it for a long time.")
    s.say("On the way {he} met {f}, who had [no food|no shoes|nothing to eat|lost all {f.his} money].", "In front of the shop sat {f}. {F.he} looked [cold|hungry|sad].")
    s.say('"[Please help me|I have not eaten today|I am so hungry]," said {f.the}.', "{H} looked at the coin and then at {f}.")
    s.say("{H} thought of the {o}. But {he} could not forget {f}.", "It was not easy. {H} wanted the {o} so much.")
    s.part()
    s.say('{H} gave {f.him} the coin. "[You need it more than I do|Here, take it|This is for you]," {he} said.', "{H} went into the shop and bought {food_a} for {f}.")
    s.say('"[You have a heart of gold|Thank you, kind {h.kind}|I will never forget this]," said {f.the}.', "{F} ate and smiled. It was the first smile of the day.")
    s.say("{H} went home with empty hands, but {he} was happy.", "When {h} came home, {g} heard about it and was very proud of {him}.", "The next day, {o.a} was at the door. Nobody knew who had put it there. But {h} knew.")
    end(s, "{H} learned that giving is better than getting.", "{H} felt warm inside.", "And {h} never forgot that day.")


def false_alarm(s):
    """Crying wolf."""
    begin(s, pair=True)
    danger = s.rng.choice(["wolf", "monster", "fire", "big bear", "storm", "tiger", "snake"] if not s.water else ["shark", "monster", "storm", "big net"])
    s.danger = danger
    s.say(one_day(s) + ", {h} was bored and wanted to play a trick. \"Help! {Danger_a}!\" {he} [shouted|cried].", one_day(s) + ", {h} thought it would be funny to scare everyone. \"Help! Help! {Danger_a} is coming!\" {he} [shouted|cried].")
    s.say("{F} came running. \"Where? Where?\" {f.he} asked. {H} laughed. \"There is no {danger}! It was only a joke!\"", "Everyone came to help. But there was no {danger}. {H} laughed and laughed.")
    s.say("The next day, {he} did it again. Again they came, and again {he} laughed.", '"That is not funny," said {f}.', "The others were angry and went home.")
    s.part()
    s.say("Then {danger_a} really came. \"Help! Help!\" cried {h}. But no one came.", "A few days later, there really was {danger_a}. {H} called and called, but nobody believed {him}.")
    s.say("{H} ran home as fast as {he} could. {He} was very scared.", "Only {f} heard that {his} voice was different. {F.he} came and helped {him}.", "{H} hid {p.spot} until it was over.")
    s.say('"I am sorry," said {h}. "I will never [lie|do that] again."', "{H} said sorry to everyone.")
    end(s, "{H} learned that nobody believes a liar.", "From then on, {h} only told the truth.", "{H} never played that trick again.")


def smile(s):
    """The hero is grumpy; one kind thing leads to the next."""
    s.alone = True
    told = begin(s, ("[grumpy|angry|cross]", "[nothing went right that day|it was raining|{he} got up too early|{he} was hungry|nobody listened to {him}]", "was always grumpy"))
    if not told:
        s.say("But today {h} was [grumpy|angry|cross|sad].", "{H} was in a bad mood and did not know why.")
    s.say('"Go away!" {he} said to {f}.', "{He} did not want to play. {He} did not want to talk.", "{He} kicked a stone. It hurt {his} foot, and {he} was even more [angry|grumpy].", '"I do not like this day," {he} said.')
    s.say('{F} did not go away. "[You look sad|I have something for you|Do you want a hug]," {f.he} said.', "Then {f} came and gave {him} {food_a}.", "{F} [made a funny face|told a joke|stood on {f.his} head].")
    s.say("{H} [had to smile|began to smile]. First a little, and then a lot.", "{H} did not want to laugh, but {he} could not help it.")
    s.part()
    s.say("Now {h} felt better. On the way home {he} [saw {q1} and helped it|gave a flower to {g}|said hello to everyone].", "{H} wanted to make someone else smile too. {He} picked a flower and gave it to {g}.")
    s.say('"[What a nice surprise|Thank you, that is so kind]!" said {g}[| and smiled too].' if s.g.known else "And everyone {he} met began to smile too.")
    end(s, "One smile can change a whole day.", "{H} was not grumpy any more.", "{H} said sorry to {f}, and they played together.")


def magic(s):
    """A magic thing does what it is told, and must be used well."""
    begin(s, uses="")
    s.o = s.thing("ssuuw")
    s.say(one_day(s) + ", {h} found {o.a} [{p.spot}|{p.at}]. [It was glowing|It was a magic {o.noun}|It was warm in {his} hand].", one_day(s) + ", {f} gave {h} {o.a}. \"Be careful. It is magic,\" {f.he} said.")
    power, mess, good = s.rng.choice([
        ("make things fly", "Soon the chairs, the cups and even {g} were flying around", "With it, {h} lifted a heavy tree from the road"),
        ("make things grow", "Soon there was a mouse as big as a house", "With it, {h} made the flowers and apples grow, so that everyone had enough to eat"),
        ("talk to animals", "Soon a hundred birds were all talking at the same time", "With it, {h} helped a lost lamb to find its mother"),
        ("make it snow", "Soon everything was white and everyone was cold", "With it, {h} made a little snow for the children to play in"),
        ("make cakes out of stones", "Soon there were cakes up to the roof", "With it, {h} made a big cake for all the hungry animals"),
        ("make light", "Soon it was so bright that nobody could sleep", "With it, {h} showed the way to all who were lost in the dark"),
        ("make everyone dance", "Soon everyone was dancing and could not stop", "With it, {h} made a sad old man dance and laugh again"),
    ])  # fmt: skip
    s.say('When {h} touched it, {he} could ' + power + ".", '"I can ' + power + '!" {h} said. {He} could hardly believe it.')
    s.say("At first it was a lot of fun. But {he} did not stop. " + mess + ".", "{H} tried it again and again. " + mess + "!")
    s.say('"Stop!" {h} cried, and everything was as before.', '"[Oh no|What have I done]!" said {h}. {He} closed {his} eyes and said, "Please stop." And it stopped.')
    s.part()
    s.say("After that, {h} used it only to help others. " + good + ".", '"Magic is not a toy," said {g}. "Use it to help." So {he} did. ' + good + ".")
    end(s, "Everyone thanked {h}.", "{H} was happy, because helping was the best magic of all.", "At night, {h} put it in a safe place.", "And the {o} glowed softly.")


def feared(s):
    """The one everybody is afraid of is kind."""
    s.f = s.being(words.CREATURES, s.rng.random() < 0.5) if s.water else s.big_one()
    begin(s)
    s.part()
    s.say("Everyone was afraid of {f} who lived {p.at}." if s.rng.random() < 0.6 else "{P.at}, there lived {f}. Everyone was afraid of {f.him}.")
    s.say('"[Do not go there|Stay away]," they all said. "[It is dangerous|{F.the} will eat you]!"', "Nobody had ever talked to {f.him}.", "Some said that {f.he} ate children. Some said that {f.he} never slept.")
    s.say("One day, {h} [lost {his} way|ran after {his} ball|was curious] and came {p.to}.", "But {h} was [curious|brave]. One day, {he} went {p.to}.")
    s.say("There sat {f.the}, crying big tears.", "{He} heard someone cry {p.spot}. It was {f.the}!")
    s.part()
    s.say('"[Why are you crying|What is wrong]?" asked {h}. "[Nobody likes me|Everyone runs away from me|I have no friends]," said {f.the}.', '"Please do not run away," said {f.the}. "I only want a friend."')
    s.say('"I am not afraid of you," said {h}. "I will be your friend."', "{H} sat down next to {f.him} and gave {f.him} {food_a}.")
    s.say("{F} smiled and [carried {h} on {f.his} back|showed {h} {f.his} house|told {h} a funny story].", "They talked and laughed until the evening.")
    s.say("{H} told everyone about {his} new friend. Soon no one was afraid any more.", "The next day, {h} came back with all {his} friends.", "When everyone saw them together, they were not afraid any more.")
    end(s, "{H} learned not to be afraid of someone only because they look different.", "{F} was never lonely again.", "They were good friends.")


def too_small(s):
    """The smallest does what nobody else can."""
    told = begin(s, ("[sad|unhappy|upset]", "{he} was [so small|too small|the smallest of all]", "was the smallest of all"))
    if not told:
        s.say("{H} was [very small|smaller than all the others].", "Everyone said that {h} was too small for everything.")
    s.say('"You are too small to [help|play with us|come with us]," the others said.', "{He} wanted to help, but nobody let {him}.", '"I wish I was big," {he} [said|sighed].')
    s.say(one_day(s) + ", {g} lost a [ring|key|coin] in a small hole {p.at}. No one could reach it.", one_day(s) + ", {f} fell into a small hole {p.at}. The hole was so small that no one could get in.", one_day(s) + ", the door was shut, and there was only one tiny window.")
    s.say("{F} tried. {F.he} was too big.", "The others pushed and pulled, but they were all too big.", "Everyone tried, but no one could do it.")
    s.part()
    s.say('"I can do it," said {h}.', '"Let me try," said {h}. Nobody laughed now.')
    s.say("{He} went in, [slowly|carefully]. It was dark, but {he} was not afraid. After a while, {he} came out again. {He} had done it!", "{He} was just small enough! Soon everything was all right.")
    s.say('"Hooray for {h.call}!" everyone shouted.', '"[You are small, but you have a big heart|Without you we could not have done it|It is good that you are so small]," said {g}.')
    end(s, "From that day on, {h} was happy to be small.", "{H} learned that [even the smallest can help|you do not have to be big to do big things].", "No one ever laughed at {him} again.")


def moon(s):
    """The hero wants to have something out of reach, and finds another way."""
    sky_thing = s.rng.choice(["moon", "sun", "brightest star", "rainbow", "biggest cloud"])
    s.far = sky_thing
    told = begin(s, ("[sad|unhappy]", "{he} could not [touch|reach] the " + sky_thing, "wanted to touch the " + sky_thing))
    if not told:
        s.say("More than anything, {h} wanted to touch the {far}.", "{H} looked up at the {far}. \"I want to touch it,\" {he} said.")
    s.say("{He} jumped as high as {he} could, but it was too far away.", "{He} went up the highest hill, but the {far} was still far away.", "{He} climbed on a tree, on a roof and on a tower. But {he} could not reach it.")
    s.say('"You can not touch the {far}," said {f}.', "Everyone laughed.", '{H} asked {g}, "How can I get there?"')
    s.say('{G} smiled. "Come with me," {g.he} said, and took {him} {p.to}.', '"[I know a way|I will show you something]," said {g}.')
    s.part()
    s.say("There was a little pool of water. In the water was the {far}, round and bright." if sky_thing in ("moon", "sun") else "There, in the still water, {h} saw the {far}, as if it was very near.")
    s.say("{H} put one finger into the water. \"I touched the {far}!\" {he} cried.", "{H} laughed and put {his} hand into the water.")
    s.say("{G} gave {him} a hug.", "They sat there for a long time and looked at it.")
    end(s, "That night, {h} dreamed of the {far}.", "{H} was very happy.", "And the {far} seemed to smile at {him}.")


def party(s):
    """Everybody forgot, so it seems: a surprise."""
    begin(s)
    s.part()
    s.say("It was {h.owner} birthday. But nobody said [anything|happy birthday].", "Today was {h.owner} birthday, but everyone was busy.", "{H} had a birthday. {He} got up early and waited for {his} friends, but nobody came.")
    s.say("{He} went to {f}. \"I have no time,\" said {f.the}.", '{He} asked {g}, "Do you know what day it is?" "[It is a day like any other|No, I am busy]," said {g}.')
    s.say("{H} was sad. \"They all forgot,\" {he} thought.", "{H} walked {p.to} and sat down {p.spot}. {He} felt like crying.")
    s.part()
    s.say('In the evening, {h} went home. The house was dark. {He} opened the door. "Surprise!" everyone shouted.', 'Then {f} came. "Come with me," {f.he} said, and took {him} home. There were lights and balloons everywhere. "Surprise!" everyone called.')
    s.say("There was a big {dish}, and there were many gifts.", "{F} gave {him} {o.a}, and there was {dish_a} too.", '"We did not forget you!" said {f}. "[We wanted to surprise you|We made all this for you]."')
    s.say("They danced, sang and played games all night.", "{H} laughed and hugged them all.")
    end(s, "It was the best birthday ever.", "{H} was the happiest {h.kind} in the world.", "{H} never forgot that day.")


# Every plot with its weight.
PLOTS = {
    lost: 3, lonely: 3, helping: 3, brave: 2, sharing: 3, sorry: 2, learning: 2, stuck: 2, bedtime: 2, baking: 2, race: 2, found: 2, storm: 2, building: 2, secret: 2, trip: 2,
    birthday: 1, wish: 1, missing: 2, hide_and_seek: 2, broken_toy: 2, sick: 1, night_noise: 1, growing: 1, egg: 1, show: 1, new_kid: 1, set_free: 1, giving: 1, false_alarm: 1,
    smile: 2, magic: 1, feared: 1, too_small: 1, moon: 1, party: 1,
}  # fmt: skip
LAND_ONLY = {stuck, baking, storm, building, sorry, bedtime, growing, giving, moon, night_noise, sick}
# Plots whose words do not fit a hero who says "I".
NOT_ME = {egg, giving, party, magic, feared, trip, race, smile}
