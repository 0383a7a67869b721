"""Children's stories from a seeded grammar: the recipe of models/story (see tokenizer.py and train.py).

    python models/train/story_grammar.py 5            # prints five stories

A story is a cast (hero, friend, guide), a place, an object and the weather, chosen once and kept (`Story`), and a plot
that tells what happens to them (`PLOTS`). Plots are made of beats; a beat is one of several templates:

    [a|b|c]     one of these, nested as deep as you like
    {h}         the hero: introduced at first mention, later the name or "the fox"; {f} friend, {g} guide, {o} object, {p} place
    {h.he} {h.him} {h.his} {h.self} {h.a} {h.the} {h.kind} {h.went} {h.home}      of the hero, likewise of f and g
    {he} {him} {his} {self}   short for those of the hero;  {they} of hero and friend
    {o.a} {o.the}, {p.to} {p.at} {p.the} {p.spot}
    {H}, {He}   a capital in the slot gives a capital

Held out: the seeds of HELD_OUT_SEED, and every combination (hero, place, object) that `is_held_out` picks.
"""

import random
import re
import sys
import zlib

import story_words as words
from story_plots import LAND_ONLY, NOT_ME, PLOTS
from story_words import an

TOKENIZER = dict(vocab_size=2048, special_tokens=["<unk>", "<s>", "</s>"], unk="<unk>", bos="<s>", eos="</s>")
SHAPE = dict(
    vocab_size=2048,
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    max_position_embeddings=512,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    tie_word_embeddings=True,
)
GENERATION = dict(do_sample=True, temperature=0.7, top_p=0.9)
HELD_OUT_SEED = 1_000_003

OBJECT_AFTER = "(gave|helped|hugged|thanked|showed|told|to|at|for|with|after|by|from|of|on|near|beside|missed|invited|heard|saw|carried|found|taught|followed|made|let|than|asked|kissed|lifted|behind|love|loved|liked|knew)"
PRONOUNS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself"), "it": ("it", "it", "its", "itself")}


class Who:
    """A character: how it is called at first, and later."""

    def __init__(self, rng, noun, name, gender, went="walked", home="house", first=None, later=None, size=None):
        self.rng, self.noun, self.name, self.gender, self.went, self.home = rng, noun, name, gender, went, home
        self.he, self.him, self.his, self.self = PRONOUNS[gender]
        self.size = size
        self.call = name or f"little {noun}"  # to the face
        self.first, self.later = first, later
        self.known = False  # has been mentioned
        self.shown = False  # and as what

    @property
    def kind(self):
        self.shown = True
        return self.noun

    @property
    def a(self):
        self.known = self.shown = True
        if self.first:
            return self.first
        noun = f"{self.size} {self.noun}" if self.size else self.noun
        if not self.name:
            return an(noun)
        return an(noun) + self.rng.choice([" named ", " named ", " called "]) + self.name

    @property
    def a_kind(self):
        self.known = self.shown = True
        return an(f"{self.size} {self.noun}" if self.size else self.noun)

    @property
    def am_kind(self):
        return self.a_kind

    @property
    def am(self):
        """The answer to "Who are you?"."""
        return self.name or an(self.noun)

    @property
    def owner(self):
        """Whose, as in "Pip's"."""
        return "my" if self.he == "I" else f"{self}'s"

    @property
    def the(self):
        if self.later:
            return self.later
        return f"the {self.size} {self.noun}" if self.size and self.rng.random() < 0.6 else f"the {self.noun}"

    def __str__(self):
        if not self.known:
            return self.a
        if self.later:
            return self.later
        if self.name and (not self.shown or self.rng.random() < 0.88):
            return self.name
        return self.the


class Thing:
    """The object of a story: all of its name at first, later mostly the noun."""

    def __init__(self, rng, noun, adjective, sort):
        self.rng, self.noun, self.full, self.sort = rng, noun, f"{adjective} {noun}" if adjective else noun, sort
        self.known = False

    @property
    def a(self):
        self.known = True
        return an(self.full)

    @property
    def the(self):
        return f"the {self}"

    def __str__(self):
        if not self.known or self.rng.random() < 0.35:
            self.known = True
            return self.full
        return self.noun


class Place:
    """Where a story plays: with its preposition, and the spots in it, each of which is used once."""

    def __init__(self, rng, noun, adjective, row):
        self.noun, self.adjective = noun, adjective
        self.preposition, *self.spots = row.split(";")
        rng.shuffle(self.spots)
        self.known = False

    @property
    def the(self):
        if self.known or not self.adjective:
            return f"the {self.noun}"
        self.known = True
        return f"the {self.adjective} {self.noun}"

    @property
    def a(self):
        self.known = True
        if self.noun in words.UNIQUE:
            return f"the {self.noun}"
        return an(f"{self.adjective} {self.noun}" if self.adjective else self.noun)

    @property
    def at_a(self):
        return f"{self.preposition} {self.a}"

    @property
    def to(self):
        return f"to {self.the}"

    @property
    def at(self):
        return f"{self.preposition} {self.the}"

    @property
    def spot(self):
        self.spots.append(self.spots.pop(0))
        return self.spots[-1]

    def __str__(self):
        return self.the


class Story:
    """What is true in one story, and its text so far."""

    def __init__(self, rng):
        self.rng, self.text, self.used = rng, [], set()
        self.water = rng.random() < 0.07
        self.me = not self.water and rng.random() < 0.04  # the hero tells the story
        self.h = self.hero()
        self.f = self.friend()
        self.g = self.guide()
        self.p = self.place()
        self.o = self.thing()
        self.gift = self.thing("sss").full
        self.food = rng.choice(words.WATER_FOODS if self.water else words.FOODS)
        self.dish = rng.choice(words.DISHES)
        self.like = rng.choice(words.ACTIVITIES)
        self.skill = rng.choice(words.SKILLS)
        self.fear = rng.choice(words.FEARS)
        self.trait = rng.choice(words.GOOD)
        self.sky = rng.choice(list(words.WEATHERS))
        self.paragraphs = rng.random() < 0.6
        # What the beginning has told: on which day this is, that the hero is at the place, the weather, hero and friend together.
        self.dated = self.there = self.sky_told = self.paired = self.alone = self.straight = False

    # -- choosing ------------------------------------------------------------------------------------------------

    def some_name(self, names):
        for _ in range(20):
            if self.rng.random() < 0.12:
                name = "".join(self.rng.choice(words.SYLLABLES) for _ in range(self.rng.choice([2, 2, 3]))).capitalize()
            else:
                name = self.rng.choice(names)
            if name not in self.used:
                break
        self.used.add(name)
        return name

    def child(self, named=True, gender=None):
        gender = gender or self.rng.choice(["he", "she"])
        noun = {"he": "boy", "she": "girl"}[gender]
        name = self.some_name(words.BOYS if gender == "he" else words.GIRLS) if named else None
        size = self.rng.choice(["little", "little", "young", "small", None, *words.TRAITS])
        return Who(self.rng, noun, name, gender, self.rng.choice(["walked", "ran", "went"]), "house", size=size)

    def being(self, table, named):
        nouns = [noun for noun, row in table.items() if noun not in self.used and (" water " in f" {row} ") == self.water]
        if not nouns:
            return self.being(words.ANIMALS, named)
        noun = self.rng.choice(nouns)
        self.used.add(noun)
        went, _, home = table[noun].split()
        home = home if home in words.HOMES else "cave" if self.water else "house"
        gender = "she" if noun in words.WOMEN else "he" if noun in words.MEN else self.rng.choice(["he", "she", "he", "she", "it"] if not named else ["he", "she"])
        size = self.rng.choice([None, "little", *words.SIZES, *words.TRAITS, *words.COLORS[:9]])
        if noun.startswith("old "):
            size = None
        return Who(self.rng, noun, self.some_name(words.PETS + words.BOYS if gender == "he" else words.PETS + words.GIRLS) if named else None, gender, went, home, size=size)

    def hero(self):
        roll = self.rng.random()
        if self.me:
            who = self.child()
            who.he, who.him, who.his, who.self, who.first, who.later, who.call = "I", "me", "my", "myself", "I", "I", who.name
            return who
        if self.water:
            return self.being(words.ANIMALS, roll < 0.7)
        if roll < 0.40:
            return self.child()
        if roll < 0.80:
            return self.being(words.ANIMALS, roll < 0.70)
        if roll < 0.94:
            return self.being(words.CREATURES, roll < 0.89)
        return self.being(words.GROWN, roll < 0.97)

    def friend(self):
        roll = self.rng.random()
        if not self.water and roll < (0.5 if self.h.noun in ("boy", "girl") else 0.15):
            other = {"boy": "she", "girl": "he"}.get(self.h.noun)  # else "the boy" could be either
            return self.child(gender=other)
        return self.being(words.ANIMALS if roll < 0.9 else words.CREATURES, roll < 0.75)

    def guide(self):
        his, roll = self.h.his, self.rng.random()
        if roll < 0.65 and self.h.noun in (*words.ANIMALS, "boy", "girl"):
            word, gender = self.rng.choice(
                [("mom", "she"), ("mom", "she"), ("mother", "she"), ("dad", "he"), ("father", "he"), ("grandma", "she"), ("grandpa", "he"), ("big sister", "she"), ("big brother", "he"), ("aunt", "she"), ("uncle", "he")]
            )
            return Who(self.rng, word, None, gender, first=f"{his} {word}", later=f"{his} {word}")
        size = self.rng.choice(["wise old", "kind old", "old", "big", "kind", "gentle", "friendly"])
        who = self.being(words.ANIMALS if self.water or roll < 0.85 else words.GROWN, False)
        who.size = size.replace("old", "").strip() or None if who.noun.startswith("old") else size
        return who

    def place(self):
        table = words.WATER_PLACES if self.water else words.PLACES
        noun = self.rng.choice([noun for noun in table if noun != self.h.home])
        if noun in words.UNIQUE or noun == "house":
            return Place(self.rng, noun, None, table[noun])
        fitting = ["big", "old", "little", "busy"] if noun in words.TOWNS else ["big", "green", "quiet", "old", "beautiful", "little", "dark", "wide"]
        return Place(self.rng, noun, self.rng.choice([None] * len(fitting) + fitting), table[noun])

    def thing(self, sorts="tttwssug"):
        nouns = words.WATER_OBJECTS if self.water else list(words.OBJECTS)
        sort = self.rng.choice(sorts)
        fitting = [noun for noun in nouns if words.OBJECTS[noun].endswith(";" + sort)] or nouns
        noun = self.rng.choice(fitting)
        adjectives, sort = words.OBJECTS[noun].split(";")
        return Thing(self.rng, noun, self.rng.choice([None, *adjectives.split(), *words.COLORS[:10], self.rng.choice(words.COLORS)]), sort)

    def other_kind(self):
        """A noun of an animal that plays no part so far."""
        return self.being(words.ANIMALS, False)

    # What plots name besides the cast; `work`, `hidden` and `broken` are set by the plots that have one.

    def __getattr__(self, name):
        if name == "him_f":
            return self.f.him
        if name == "food_bare":
            return self.rng.choice(words.FAVORITES)
        if name == "dish_a":
            return "some " + self.dish if self.dish.endswith(("bread", "soup", "salad", "pizza")) else an(self.dish)
        if name.endswith("_a"):
            return an(getattr(self, name[:-2]))
        if name in ("q1", "q2"):
            return an(self.rng.choice(words.SIZES[:5]) + " " + self.other_kind().noun)
        raise AttributeError(name)

    # -- telling -------------------------------------------------------------------------------------------------

    def slot(self, match):
        name = match[1]
        low = name.lower()
        if low in ("he", "him", "his", "self"):
            value = str(self.h) if low == "he" and not self.h.known else getattr(self.h, low)
        elif "." in low:
            base, field = low.split(".")
            value = getattr(getattr(self, base), field)
        else:
            value = str(getattr(self, low))
        return value[0].upper() + value[1:] if name[0].isupper() else value

    def fill(self, template):
        pattern = re.compile(r"\[([^\[\]]*)\]")
        while (found := pattern.search(template)) is not None:
            template = template[: found.start()] + self.rng.choice(found[1].split("|")) + template[found.end() :]
        text = re.sub(r"\{([A-Za-z0-9_.]+)\}", self.slot, template)
        text = re.sub(r"(^,? *|[.!?] +)([a-z])", lambda match: match[1] + match[2].upper(), text)
        return re.sub(r" +", " ", text).strip(" ,")

    def say(self, *templates):
        """Tells one of the templates that fit the state: no walk to where the hero already is, no second
        liking of the same thing, no joy where the plot wants sorrow."""
        if any(self.like in sentence for sentence in self.text):
            templates = [template for template in templates if "{like}" not in template] or templates
        if self.alone:
            templates = [template for template in templates if not any(word in template for word in ("happy", "excited", "Everyone", "glad"))] or templates
        if self.there:
            templates = [template for template in templates if "{p.to}" not in template] or templates
        self.text.append(self.fill(self.rng.choice(templates)))

    def maybe(self, chance, *templates):
        """Tells one of the templates, or none."""
        if self.rng.random() < chance:
            self.say(*templates)

    def big_one(self):
        """Somebody to be afraid of."""
        noun = self.rng.choice(["giant", "dragon", "monster", "troll", "witch", "ghost", "bear", "wolf", "dinosaur", "lion", "tiger", "wizard", "robot", "spider"])
        self.used.add(noun)
        gender = "she" if noun in words.WOMEN else "he"
        return Who(self.rng, noun, self.some_name(words.PETS) if self.rng.random() < 0.3 else None, gender, size=self.rng.choice(["big", "old", "huge", "big", "dark", None]))

    def part(self):
        """Starts a new paragraph, in stories that have paragraphs."""
        if self.paragraphs and self.text and self.text[-1] != "\n\n":
            self.text.append("\n\n")

    def finish(self):
        text = re.sub(r" ?\n\n ?", "\n\n", " ".join(self.text)).strip()
        return self.first_person(text) if self.me else text

    def first_person(self, text):
        """Corrects what templates written for "he" make of "I"."""
        told, f = text.split('"'), self.f
        friend = "|".join(filter(None, [f"an? {f.size} {f.noun}(?: (?:named|called) {f.name})?", f"an? {f.noun}(?: (?:named|called) {f.name})?", f.name, f"the {f.size} {f.noun}", f"the {f.noun}", self.g.later, an(f"{self.g.size} {self.g.noun}"), f"the {self.g.noun}"]))
        for index in range(0, len(told), 2):  # outside of quotes
            part = re.sub(r"\b(said|asked|cried|called|shouted|thought|answered|whispered|sighed) I\b", r"I \1", told[index])
            part = re.sub(rf"\b{OBJECT_AFTER} I\b", r"\1 me", part)
            part = re.sub(rf"\bI and ({friend})", r"\1 and I", part)
            part = re.sub(r"(^|[.!?]\s+)([a-z])", lambda match: match[1] + match[2].upper(), part) if index == 0 else part
            for he, we in (("they", "we"), ("them", "us"), ("their", "our"), ("They", "We"), ("Their", "Our"), ("themselves", "ourselves")):
                part = re.sub(rf"\b{he}\b", we, part)
            told[index] = part.replace("opened us", "opened them")
        return '"'.join(told)


def is_held_out(s):
    """Whether this combination of hero, place and object is held out: one in thirty."""
    return zlib.crc32(f"{s.h.noun} {s.p.noun} {s.o.noun}".encode()) % 30 == 0


def tell(rng):
    """One story and its state."""
    s = Story(rng)
    plots = {plot: weight for plot, weight in PLOTS.items() if not (s.water and plot in LAND_ONLY) and not (s.me and plot in NOT_ME)}
    rng.choices(list(plots), list(plots.values()))[0](s)
    return s.finish(), s


def stories(seed, held_out):
    """Endless stories of one side of the split."""
    rng = random.Random(seed)
    while True:
        text, s = tell(rng)
        if is_held_out(s) == held_out:
            yield text


def documents(seed):
    """Endless training stories."""
    assert seed != HELD_OUT_SEED
    return stories(seed, held_out=False)


def held_out(count):
    """Stories whose seed and whose combination of hero, place and object training never sees."""
    made = stories(HELD_OUT_SEED, held_out=True)
    return [next(made) for _ in range(count)]


if __name__ == "__main__":
    made = documents(int(sys.argv[2]) if len(sys.argv) > 2 else 7)
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        print(next(made), end="\n\n---\n\n")
