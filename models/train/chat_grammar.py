"""Makes the dialogues that the chat model learns from: seeded, endless, every word of it ours.

    python models/train/chat_grammar.py --seed 7 --count 3      # print a few

A dialogue is a list of messages. A `Chat` walks through moves: the user tells a fact, asks for one, corrects one, makes small
talk, asks a sum or a piece of knowledge, types nonsense. `Chat.facts` is what the user has told so far, so that the
assistant's answers are right by construction: the newest value counts, and what was never told is not known.

Values are copied exactly as typed ("my name is ada" -> "Your name is ada."), and always after a space, so that they are
the same tokens both times. Most names are made up from syllables: a model cannot recite them, it has to look them up.
Some names, colours and pets are held out: they appear in no training dialogue, only in chat_report.py.

The user's side is written in a small notation: "[a|b|]" is one of a, b or nothing; "{v}" is a value.
"""

import argparse
import random
import re

# --- The recipe (see tokenizer.py and train.py) -----------------------------------------------------------------------

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TOKENIZER = dict(
    vocab_size=3072,
    special_tokens=["<unk>", "<|im_start|>", "<|im_end|>"],
    unk="<unk>",
    bos=None,
    eos="<|im_end|>",
    add_bos=False,
    prefix_space=False,
    digits_apart=True,
    chat_template=CHAT_TEMPLATE,
    model_max_length=1024,
)
SHAPE = dict(
    hidden_size=192,
    intermediate_size=512,
    num_hidden_layers=6,
    num_attention_heads=6,
    num_key_value_heads=3,
    head_dim=32,
    max_position_embeddings=1024,
    tie_word_embeddings=True,
    rms_norm_eps=1e-5,
    initializer_range=0.04,
)
STAGES = [(0.2, 160), (0.75, 352)]
GENERATION = dict(do_sample=True, temperature=0.3, top_p=0.9, max_new_tokens=96)


def words(text):
    """The entries of a list written with commas."""
    return [entry.strip() for entry in text.replace("\n", " ").split(",") if entry.strip()]


# --- Words --------------------------------------------------------------------------------------------------------------

NAMES = words("""Ada, Alice, Alan, Albert, Alex, Alexander, Amelia, Amir, Amy, Ana, Andrea, Andrew, Andy, Angela, Anna, Anne, Anton, Antonio,
Arthur, Asha, Astrid, Ava, Ayesha, Barbara, Beatrice, Bella, Ben, Benjamin, Beth, Bill, Bob, Boris, Brian, Bruno, Camille, Carl, Carla, Carlos,
Caroline, Catherine, Charles, Charlie, Charlotte, Chen, Chloe, Chris, Christian, Christina, Clara, Claire, Claudia, Cleo, Colin, Connor, Daisy, Dan, Daniel,
Daniela, Dave, David, Deepak, Diana, Diego, Dina, Dmitri, Dora, Dylan, Ed, Edgar, Edith, Edward, Ela, Elena, Eli, Elias, Elisa, Elizabeth, Ella,
Ellen, Elsa, Emil, Emily, Emma, Eric, Erik, Ethan, Eva, Eve, Evelyn, Fatima, Felix, Fiona, Florence, Frances, Frank, Fred, Freya, Gabriel, Gary, George,
Georgia, Grace, Greg, Greta, Gustav, Hana, Hannah, Hans, Harold, Harry, Hassan, Heidi, Helen, Henry, Hugo, Ian, Ibrahim, Ida, Ines, Ingrid, Irene,
Isaac, Isabel, Isla, Ivan, Ivy, Jack, Jacob, Jake, James, Jamie, Jan, Jane, Jason, Javier, Jean, Jenny, Jessica, Jim, Joan, Joe, Johan, John, Jonas,
Jonathan, Jose, Joseph, Josh, Juan, Judy, Julia, Julian, Julie, Jun, Karen, Karl, Kate, Katie, Kenji, Kevin, Kim, Klaus, Lara, Lars, Laura, Lauren, Lea,
Lee, Leila, Lena, Leo, Leon, Lewis, Li, Lily, Lin, Linda, Lisa, Liu, Liz, Logan, Lola, Lorenzo, Lotte, Louis, Louise, Luca, Lucas, Lucia, Lucy, Luis, Luke,
Luna, Madison, Magnus, Malik, Marco, Margaret, Maria, Marie, Mario, Mark, Marta, Martin, Mary, Mateo, Matt, Matthew, Max, Maya, Mei, Mia, Michael, Miguel,
Mike, Mila, Ming, Miriam, Mohammed, Molly, Mona, Nadia, Nancy, Naomi, Natalie, Nathan, Nick, Nicole, Nina, Noah, Nora, Oliver, Olivia, Omar, Oscar, Otto,
Owen, Pablo, Paul, Paula, Pedro, Peter, Petra, Philip, Pia, Priya, Rachel, Raj, Ravi, Rebecca, Rita, Robert, Robin, Roger, Rosa, Rose, Ruby, Ruth, Ryan,
Sally, Sam, Samira, Sandra, Sara, Sarah, Scott, Sean, Sergei, Simon, Sofia, Sophie, Stella, Stephen, Steve, Sue, Susan, Tara, Ted, Teresa, Thomas,
Tim, Tina, Tom, Tony, Uma, Ursula, Valentina, Vera, Victor, Victoria, Vijay, Viola, Walter, Wei, Wendy, Will, William, Xavier, Yara, Yuki, Yusuf, Zara, Zoe""")
NAMES_HELD_OUT = words("""Agnes, Aisha, Akira, Aurora, Bernard, Bridget, Casper, Celia, Cedric, Damien, Dolores, Edmund, Elodie, Esther, Fabian,
Farah, Francesca, Gareth, Gloria, Gwen, Harriet, Hiroshi, Imogen, Jasper, Joanna, Kofi, Leonard, Linus, Lydia, Mabel, Marcus, Matilda, Nigel, Odette, Olga, Oskar,
Patrick, Penelope, Quentin, Rafael, Rohan, Rosalind, Rupert, Sabrina, Saskia, Sebastian, Sven, Sylvia, Tamara, Theo, Tobias, Umberto, Valerie, Vincent, Winston,
Yolanda, Yasmin, Zachary, Zelda, Zainab""")
SURNAMES = words("""Smith, Jones, Brown, Garcia, Miller, Davis, Lopez, Wilson, Moore, Taylor, Lee, White, Harris, Clark, Young, King, Wright, Green, Baker,
Hill, Carter, Parker, Wang, Zhang, Kim, Singh, Khan, Schmidt, Weber, Rossi, Novak, Silva, Tanaka, Sato, Dubois, Jensen, Lovelace, Turing, Fisher, Wood, Stone""")
ACCENTED = words("José, Zoë, Chloé, André, Søren, Åsa, Jürgen, Günter, Renée, Noël, Łukasz, Beyza, Çelik, Ñusta, Björn, Eloïse, Siân, Márta, Žofia, Đorđe")
HAN = "王李张刘陈杨赵黄周吴小大明红华伟芳娜敏静丽强磊军洋勇艳杰娟涛超秀英平刚桂文玉兰子梅思雨欣怡梓涵天宇浩然山水花月星雪云飞龙凤春夏秋冬美佳乐安宁"
HAN_HELD_OUT = "林何高梁郑谢宋唐许韩晨阳辰琪瑶婷慧莹健鹏"

COLOURS = words("""red, blue, green, yellow, orange, purple, pink, brown, black, white, grey, gold, silver, violet, navy, cyan, magenta, maroon, olive, teal,
cream, dark blue, light blue, dark green, light green, bright red, sky blue, mint green, rose, coral, khaki, lilac, bronze, copper, lemon yellow, pale pink""")
COLOURS_HELD_OUT = words("turquoise, crimson, beige, burgundy, lavender, scarlet, amber, peach, mauve, emerald, ruby red, charcoal")
PETS = words("dog, cat, rabbit, hamster, parrot, goldfish, turtle, horse, mouse, snake, guinea pig, lizard, puppy, kitten, pony, duck, budgie, tortoise, frog, rat, chicken, goat")
PETS_HELD_OUT = words("ferret, gecko, donkey, canary, hedgehog, chinchilla")
PET_NAMES = words("""Rex, Max, Bella, Luna, Milo, Coco, Rocky, Buddy, Daisy, Molly, Charlie, Oscar, Tiger, Shadow, Snowy, Fluffy, Whiskers, Spot, Biscuit, Pepper, Ginger,
Smokey, Simba, Nala, Felix, Lucky, Bruno, Toby, Cookie, Mittens, Bubbles, Nemo, Hoppy, Thumper, Peanut, Teddy, Bailey, Sammy, Lola, Rosie, Poppy, Honey, Sunny, Misty, Socks""")
PET_NAMES_HELD_OUT = words("Biscotti, Pickles, Fudge, Waffles, Domino, Nugget, Bramble, Pixel, Tango, Truffle, Maple, Gizmo, Ziggy, Pumpkin, Marmalade, Noodle")
RELATIONS = words("sister, brother, mother, father, best friend, teacher, son, daughter, wife, husband, neighbour, cousin, uncle, aunt, boss, grandmother, grandfather, friend, baby")
ONE = words("mother, father, best friend, wife, husband, boss, teacher")
CITIES = words("""London, Paris, Berlin, Rome, Madrid, Tokyo, Beijing, Shanghai, Delhi, Mumbai, Cairo, Lagos, Nairobi, Sydney, Toronto, Boston, Chicago, New York, Dublin, Oslo,
Vienna, Prague, Lisbon, Athens, Moscow, Seoul, Bangkok, Lima, Bogota, Mexico City, Seattle, Denver, Leeds, Bristol, Munich, Hamburg, Milan, Naples, Porto, Geneva, Zurich, a small village, Scotland, Canada, India, Texas""")
HOBBIES = words("""painting, drawing, reading, swimming, running, dancing, singing, cooking, baking, fishing, hiking, cycling, climbing, gardening, knitting, sewing, skating, skiing,
sailing, surfing, camping, writing stories, playing chess, playing football, playing the piano, playing the guitar, taking photos, watching films, watching birds, building models, riding horses, coding, making music, collecting stamps, yoga""")
LIKED = words("""music, art, books, animals, cake, pizza, summer, the sea, sports, games, films, nature, cats, dogs, chocolate, tea, coffee, cheese, apples, trains, snow, rain, flowers, birds, cars, trees, stars, soup, bread, maths, school, spiders,
mondays, homework, onions, mushrooms, noise, winter, fish, football, my job, my family, stories, horses, the moon, robots, old films, spicy food, ice cream, long walks, board games, video games, puzzles, poems, roses, dinosaurs""")
JOBS = words("""a teacher, a nurse, a doctor, a baker, a farmer, a driver, an artist, an engineer, a student, a cook, a writer, a singer, a pilot, a gardener, a lawyer, a builder, a dentist,
a programmer, a designer, a plumber, an actor, an electrician, a scientist, a librarian, a waiter, a carpenter""")
MONTHS = words("January, February, March, April, May, June, July, August, September, October, November, December")
DAYS = words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
FAVOURITES = {
    "food": words("pizza, pasta, rice, soup, bread, cheese, sushi, curry, salad, fish, noodles, pancakes, chocolate, cake, tacos, burgers, chips, dumplings, lasagne, omelette, toast, ice cream, fried rice, apple pie, spaghetti"),
    "fruit": words("apples, bananas, grapes, pears, oranges, cherries, mangoes, melons, plums, kiwis, strawberries, lemons, peaches, figs, berries"),
    "drink": words("tea, coffee, water, milk, juice, lemonade, cola, hot chocolate, apple juice, orange juice, green tea, cider"),
    "animal": words("cat, dog, tiger, lion, elephant, panda, dolphin, whale, owl, fox, wolf, bear, horse, penguin, koala, giraffe, shark, eagle, rabbit, otter"),
    "sport": words("football, tennis, swimming, running, basketball, rugby, golf, hockey, cycling, skiing, cricket, boxing, judo, volleyball, chess"),
    "game": words("chess, cards, tag, checkers, tetris, hide and seek, dominoes, darts, go, solitaire, snake"),
    "season": words("spring, summer, autumn, winter"),
    "day": DAYS,
    "month": MONTHS,
    "flower": words("rose, tulip, daisy, lily, sunflower, orchid, poppy, violet, iris, daffodil"),
    "tree": words("oak, pine, birch, willow, elm, cherry tree, apple tree, beech"),
    "subject": words("maths, history, art, music, science, geography, English, biology, physics, chemistry"),
    "book": words("Emma, Dracula, Heidi, The Hobbit, Peter Pan, Treasure Island, Little Women, The Jungle Book, Winnie the Pooh, The Little Prince, Moby Dick"),
    "film": words("Frozen, Shrek, Up, Jaws, Titanic, Star Wars, The Lion King, Toy Story, Finding Nemo, King Kong"),
    "song": words("Yesterday, Imagine, Hello, Let It Be, Happy Birthday, Jingle Bells, Dancing Queen, Yellow Submarine"),
    "place": words("the beach, the park, the library, my garden, the forest, the mountains, the zoo, my bed, the sea, the kitchen"),
    "toy": words("my teddy bear, lego, my robot, a doll, a ball, my train, a kite"),
    "instrument": words("piano, guitar, violin, drums, flute, trumpet, cello, harp"),
}
ORDINARY = [entry for entries in FAVOURITES.values() for entry in entries if entry.isalpha() and len(entry) > 3]
ODD_CATEGORIES = words("planet, shape, letter, word, hat, shoe, sandwich, cheese, bird, car, singer, band, teacher, superhero, country, language, holiday, smell, sound, dinosaur, team, ice cream, vegetable, snack, show")

ONSETS = words("b, c, d, f, g, h, j, k, l, m, n, p, r, s, t, v, w, y, z, br, ch, cl, cr, dr, fl, fr, gr, kl, kr, pl, pr, qu, sh, sk, sl, st, sv, th, tr, tw, x") + [""] * 6
VOWELS = words("a, e, i, o, u, a, e, i, o, u, ai, ea, ee, ei, ia, io, oa, oo, ou, y, ae")
CODAS = words("b, ck, d, f, g, k, l, ll, m, n, n, nd, ng, nt, p, r, r, rk, rn, s, ss, st, t, th, v, x, z, l, n") + [""] * 18


def syllables(rng, low=1, high=3):
    """A pronounceable made-up word in lower case, never one that is held out."""
    while True:
        word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.randint(low, high)))
        if 2 < len(word) < 12 and word not in RESERVED:
            return word


def _reserve():
    """Made-up names for the report, and everything else that is held out, in lower case."""
    rng, made = random.Random(20240607), []
    while len(made) < 300:
        word = syllables(rng, 2, 3)
        if word not in made and word.title() not in NAMES:
            made.append(word)
    listed = NAMES_HELD_OUT + COLOURS_HELD_OUT + PETS_HELD_OUT + PET_NAMES_HELD_OUT
    return [name.capitalize() for name in made], {entry.lower() for entry in listed} | set(made)


RESERVED = set()
SYLLABLE_NAMES_HELD_OUT, RESERVED = _reserve()


def recombined(rng):
    """Joins the front of one name or word to the end of another, in orders that made-up syllables never
    have."""
    while True:
        front, end = (rng.choice(rng.choice([NAMES, SURNAMES, ORDINARY])) for _ in range(2))
        name = front[: rng.randint(2, max(2, len(front) - 1))] + end[rng.randint(1, max(1, len(end) - 2)) :].lower()
        if 3 <= len(name) <= 10 and name.isalpha() and name.lower() not in RESERVED:
            return name.capitalize()


class Words:
    """Draws values: for training, or (`held_out`) those that training never sees."""

    def __init__(self, rng, held_out=False):
        self.rng, self.held_out = rng, held_out

    def name(self):
        rng = self.rng
        if self.held_out:
            return rng.choice(NAMES_HELD_OUT if rng.random() < 0.5 else SYLLABLE_NAMES_HELD_OUT)
        p = rng.random()
        if p < 0.3:
            return rng.choice(NAMES)
        if p < 0.6:
            return syllables(rng).capitalize()
        if p < 0.88:
            return recombined(rng)
        if p < 0.92:
            return f"{rng.choice(NAMES)} {rng.choice(SURNAMES)}"
        if p < 0.94:
            return f"{syllables(rng).capitalize()} {syllables(rng).capitalize()}"
        if p < 0.95:
            return rng.choice(ACCENTED)
        if p < 0.97:
            return "".join(rng.sample(HAN, rng.randint(2, 3)))
        return rng.choice(["Dr ", "Mr ", "Mrs ", "Captain ", "O'", "Mc", "Anne-", "Jean-"]) + rng.choice([rng.choice(NAMES), syllables(rng).capitalize()])

    def colour(self):
        if self.held_out:
            return self.rng.choice(COLOURS_HELD_OUT)
        return syllables(self.rng) if self.rng.random() < 0.35 else self.rng.choice(COLOURS)

    def pet(self):
        if self.held_out:
            return self.rng.choice(PETS_HELD_OUT)
        return syllables(self.rng) if self.rng.random() < 0.35 else self.rng.choice(PETS)

    def pet_name(self):
        if self.held_out:
            return self.rng.choice(PET_NAMES_HELD_OUT + SYLLABLE_NAMES_HELD_OUT[:20])
        p = self.rng.random()
        if p < 0.35:
            return self.rng.choice(PET_NAMES)
        return syllables(self.rng).capitalize() if p < 0.6 else recombined(self.rng) if p < 0.85 else self.rng.choice(NAMES)

    def made_up(self, entries, share=0.25):
        """Mostly one of `entries`, sometimes a word that does not exist (in the case of the entries)."""
        if self.rng.random() > share:
            return self.rng.choice(entries)
        word = syllables(self.rng)
        return word.capitalize() if entries[0][0].isupper() else word


# --- What the user may tell ------------------------------------------------------------------------------------------------

HEY = "[Hi|Hello|Hey|Hi there|Hello there|Good morning|Good evening]"
CAN_YOU = "[Can you tell me|Could you tell me|Please tell me|Tell me|Do you know|Do you remember|Can you remember|Remind me]"


class Fact:
    """One thing to remember: its key, how it is told, asked, answered. `v` is the value, `k` what it is a value of."""

    def __init__(self, key, value, tell, ack, ask, ask_yes, answer, unknown, correct, bare=(), ask_bare=None, kind=None, listing=None):
        self.key, self.value, self.tell, self.ack, self.ask, self.ask_yes = key, value, tell, ack, ask, ask_yes
        self.answer, self.unknown, self.correct, self.bare, self.ask_bare = answer, unknown, correct, bare, ask_bare
        self.kind, self.listing = kind, listing or answer


def name_fact(chat):
    return Fact(
        "name",
        chat.words.name(),
        ["My name is {v}", "My name is {v}", "I'm {v}", "I am {v}", "Call me {v}", "You can call me {v}", "My name's {v}", "They call me {v}", "My friends call me {v}",
         "[Everyone|Everybody] calls me {v}", "The name is {v}", "I'm called {v}", "You are talking to {v}", "It's {v} here", "This is {v}", "Please call me {v}", "My first name is {v}"],
        ["Nice to meet you, {v}!", "Nice to meet you, {v}!", "Hello, {v}! Nice to meet you.", "Pleased to meet you, {v}."],
        ["What is my name", "What is my name", "What's my name", "Tell me my name", "Who am I", "What was my name", "What was my name again", "What am I called", "What did I say my name was",
         "What name did I tell you", "What do people call me", "Say my name", "My name", "How am I called", "Which name did I give you", "What's my first name", "So what is my name",
         "Can you tell me [my name|what my name is]", "Please say my name", "Remind me of my name", "What did I tell you my name was", "Could you tell me my name"],
        ["Do you remember my name", "Do you know my name", "Do you still know my name", "Can you remember my name", "Do you remember what my name is", "Do you know who I am", "Do you remember who I am", "Did you forget my name",
         "Have you forgotten my name", "Can you still remember my name", "Do you still remember what I am called"],
        "Your name is {v}.",
        ["I don't know your name yet. What is it?", "You haven't told me your name yet. What is it?"],
        ["Actually, my name is {v}", "Sorry, my name is {v}", "No, my name is {v}", "I changed my name to {v}", "My real name is {v}", "Call me {v} [instead|from now on]", "Actually, call me {v}", "My name is {v} now", "Oops, I meant {v}. My name is {v}",
         "That's wrong, my name is {v}", "No, I'm {v}", "Wait, my name is actually {v}", "I lied, my name is {v}"],
        ["{v}", "It's {v}", "It is {v}", "I'm {v}", "{v}!", "My name is {v}"],
        "What is your name?",
    )


def colour_fact(chat):
    fact = favourite_fact(chat, "colour")
    fact.value = chat.words.colour()
    fact.tell = fact.tell + ["I like the colour {v}", "I love the colour {v}", "The colour I like is {v}", "I like {v} more than any other colour"]
    fact.ask = fact.ask + ["What colour do I like", "Which colour do I like", "What colour is my favourite", "What's the colour I like"]
    return fact


def favourite_fact(chat, category=None):
    rng = chat.rng
    if category is None and rng.random() < 0.15:
        category = rng.choice(ODD_CATEGORIES) if rng.random() < 0.8 else syllables(rng)
    category = category or rng.choice(list(FAVOURITES))
    entries = FAVOURITES.get(category)
    value = chat.words.made_up(entries) if entries else chat.words.made_up(rng.choice(list(FAVOURITES.values())), 0.6)
    fav = "[favourite|favourite|favorite|fav]"
    k = category
    return Fact(
        f"favourite {k}",
        value,
        [f"My {fav} {k} is {{v}}", f"My {fav} {k} is {{v}}", f"My {fav} {k} is {{v}}", f"{{v}} is my {fav} {k}", f"The {k} I like [best|most] is {{v}}", f"My number one {k} is {{v}}",
         f"I think my {fav} {k} is {{v}}", f"For me the best {k} is {{v}}"],
        [f"Good choice! I will remember that your favourite {k} is {{v}}.", "I like {v} too!", f"Your favourite {k} is {{v}}. Got it!", "Oh, {v}! Good choice."],
        [f"What is my {fav} {k}", f"What is my {fav} {k}", f"What's my {fav} {k}", f"Which {k} do I like [best|most|the most]", f"Tell me my {fav} {k}", f"What {k} do I like [best|most|the most|]", f"My {fav} {k}", f"What was my {fav} {k}",
         f"What was my {fav} {k} again", f"What did I say my {fav} {k} was", f"Which {k} is my {fav}", f"Can you tell me my {fav} {k}", f"So what is my {fav} {k}", f"Remind me of my {fav} {k}", f"And [what is|] my {fav} {k}",
         f"What {k} did I say I like"],
        [f"Do you remember my {fav} {k}", f"Do you know my {fav} {k}", f"Do you still know my {fav} {k}", f"Can you remember my {fav} {k}", f"Do you remember which {k} I like", f"Do you know what {k} I like", f"Did you forget my {fav} {k}",
         f"Do you remember what my {fav} {k} is"],
        f"Your favourite {k} is {{v}}.",
        [f"I don't know your favourite {k} yet. What is it?", f"You haven't told me your favourite {k} yet. What is it?"],
        [f"Actually, my {fav} {k} is {{v}}", f"I changed my mind, my {fav} {k} is {{v}}", f"No, my {fav} {k} is {{v}}", f"My {fav} {k} is {{v}} now", f"Sorry, my {fav} {k} is {{v}}", f"My new {fav} {k} is {{v}}", f"Now my {fav} {k} is {{v}}",
         f"Wait, my {fav} {k} is {{v}}", f"Now I like {{v}} better. {{v}} is my {fav} {k}"],
        ["{v}", "It's {v}", "It is {v}", "I like {v}", "I like {v} best"],
        f"What is your favourite {k}?",
        kind=category,
    )


def named_fact(chat, pet):
    """A pet or a person with a name: "my dog is called Rex"."""
    k = chat.words.pet() if pet else chat.rng.choice(RELATIONS)
    tell = [f"My {k} is called {{v}}", f"My {k}'s name is {{v}}", f"My {k} is named {{v}}", f"The name of my {k} is {{v}}", f"My {k}'s called {{v}}"]
    ack = [f"Nice! Your {k} is called {{v}}. I will remember that.", f"That is a good name for a {k}!" if pet else f"Say hello to {{v}} from me!", "What a nice name! Hello, {v}!"]
    ask = [f"What is my {k} called", f"What's my {k} called", f"What is my {k}'s name", f"What's my {k}'s name", f"What is the name of my {k}", f"What's the name of my {k}", f"Who is my {k}", f"Tell me my {k}'s name", f"Tell me the name of my {k}",
           f"How is my {k} called", f"What was my {k}'s name again", f"What was my {k} called", f"My {k}'s name", f"Can you tell me [my {k}'s name|what my {k} is called]", f"And my {k}", f"What did I say my {k} was called"]
    answer = f"Your {k} is called {{v}}."
    article = "an" if k[0] in "aeiou" else "a"
    if pet:
        tell += [f"I have {article} {k} called {{v}}", f"I have {article} {k} named {{v}}", f"I have {article} {k} called {{v}}", f"I've got {article} {k} called {{v}}", f"I have {article} {k}. [His|Her|Its] name is {{v}}", f"I have {article} {k} and [his|her|its] name is {{v}}",
                 f"We have {article} {k} named {{v}}", f"My pet is {article} {k} called {{v}}", f"I live with my {k} {{v}}", f"I own {article} {k}, {{v}}", f"I have {article} pet {k} called {{v}}", f"I have {article} {k}, [he|she|it] is called {{v}}"]
        ask_pet = ["What is my pet called", "What's my pet's name", "Who is my pet", "What is the name of my pet", "What pet do I have", "Which pet do I have", "What kind of pet do I have", "What animal do I have", "My pet's name", "Tell me about my pet", "Do you remember my pet", "Do you know my pet"]
    fact = Fact(
        f"{k} name",
        chat.words.pet_name() if pet else chat.words.name(),
        tell,
        ack,
        ask,
        [f"Do you remember my {k}", f"Do you remember my {k}'s name", f"Do you know my {k}'s name", f"Do you know what my {k} is called", f"Do you remember the name of my {k}", f"Did you forget my {k}'s name", f"Do you still know my {k}'s name"],
        answer,
        [f"You haven't told me your {k}'s name yet.", f"I don't know. You haven't told me your {k}'s name yet."],
        [f"Actually, my {k} is called {{v}}", f"No, my {k} is called {{v}}", f"Sorry, my {k}'s name is {{v}}", f"My {k}'s name is {{v}} now", f"Wait, my {k} is called {{v}}", f"I meant my {k} is called {{v}}"],
        kind="pet" if pet else "relation",
    )
    fact.bare = ["{v}", "{v}", "It's {v}", "[His|Her|Its] name is {v}", "[He|She|It] is called {v}", "[He's|She's|It's] called {v}", "{v}!"]
    fact.mention = [f"I have {article} {k}", f"I've got {article} {k}", f"I have {article} {k} at home", f"We have {article} {k}"] if pet else [f"I have {article} {k}"] if k not in ONE else []
    if pet:
        fact.ask_pet, fact.pet_answer = ask_pet, f"You have {article} {k} called {{v}}."
    return fact


def city_fact(chat):
    return Fact(
        "city",
        chat.words.made_up(CITIES, 0.35),
        ["I live in {v}", "I live in {v}", "I'm living in {v}", "My home is in {v}", "I live in {v} [with my family|with my cat|now|at the moment]", "My house is in {v}"],
        ["I have never been to {v}, but it sounds nice.", "Oh, {v}! What is it like there?", "You live in {v}. How nice!"],
        ["Where do I live", "Where do I live", "Where is my home", "Which city do I live in", "What city do I live in", "Where did I say I live", "In which place do I live", "Tell me where I live", "Where's my house", "Where am I living", "What place do I live in"],
        ["Do you remember where I live", "Do you know where I live", "Can you remember where I live", "Did you forget where I live"],
        "You live in {v}.",
        ["I don't know where you live. You haven't told me yet.", "You haven't told me where you live yet."],
        ["Actually, I live in {v}", "I moved to {v}", "I moved, now I live in {v}", "No, I live in {v}", "I live in {v} now", "Sorry, I meant I live in {v}", "We moved to {v}"],
    )


def origin_fact(chat):
    return Fact(
        "origin",
        chat.words.made_up(CITIES, 0.35),
        ["I'm from {v}", "I am from {v}", "I come from {v}", "I was born in {v}", "I grew up in {v}"],
        ["I have never been to {v}, but it sounds nice.", "You are from {v}. I will remember that."],
        ["Where am I from", "Where do I come from", "Which place am I from", "Where was I born", "Where did I say I am from", "Tell me where I'm from", "What city am I from"],
        ["Do you remember where I'm from", "Do you know where I come from", "Do you know where I am from"],
        "You are from {v}.",
        ["I don't know where you are from. You haven't told me yet.", "You haven't told me where you are from yet."],
        ["Actually, I'm from {v}", "No, I'm from {v}", "Sorry, I am from {v}", "I was wrong, I come from {v}"],
    )


def age_fact(chat):
    return Fact(
        "age",
        str(chat.rng.choice([chat.rng.randint(4, 20), chat.rng.randint(5, 99)])),
        ["I'm {v} years old", "I am {v} years old", "I'm {v}", "I am {v}", "My age is {v}", "I just turned {v}", "I turned {v} last week", "I'm {v} now"],
        ["{v} is a good age!", "You are {v} years old. I will remember that."],
        ["How old am I", "How old am I", "What is my age", "What's my age", "Tell me my age", "How old did I say I am", "What age am I", "How many years old am I"],
        ["Do you remember how old I am", "Do you know how old I am", "Do you know my age", "Do you remember my age"],
        "You are {v} years old.",
        ["I don't know how old you are. You haven't told me yet.", "You haven't told me how old you are yet."],
        ["Actually, I'm {v} years old", "No, I am {v}", "Sorry, I'm {v} years old", "I'm {v} now", "It was my birthday, I'm {v} now", "I lied, I'm {v}"],
    )


def hobby_fact(chat):
    return Fact(
        "hobby",
        chat.words.made_up(HOBBIES, 0.15),
        ["My hobby is {v}", "My hobby is {v}", "I like {v} in my free time", "I love {v} in my free time", "In my free time I like {v}", "My favourite hobby is {v}", "My hobbies are {v}", "For fun I like {v}"],
        ["I can see why you like {v}. Have fun!", "Oh, {v}! That sounds like fun.", "Your hobby is {v}. I will remember that."],
        ["What is my hobby", "What's my hobby", "What do I like to do in my free time", "What do I like doing", "What do I like to do", "What hobby do I have", "Tell me my hobby", "What are my hobbies", "What do I do for fun", "What do I do in my free time", "Which hobby do I have"],
        ["Do you remember my hobby", "Do you know my hobby", "Do you know what I like doing", "Do you remember what I do for fun"],
        "Your hobby is {v}.",
        ["I don't know your hobby yet. What do you like doing?", "You haven't told me about your hobby yet."],
        ["Actually, my hobby is {v}", "My new hobby is {v}", "My hobby is {v} now", "No, my hobby is {v}", "I changed my hobby to {v}"],
    )


def like_fact(chat):
    hate = chat.rng.random() < 0.3
    value = chat.words.made_up(LIKED, 0.25)
    verb = "[don't like|hate|do not like|can't stand]" if hate else "[like|love|really like|like|enjoy]"
    asks = ["What do I not like", "What don't I like", "What do I hate", "What is it that I don't like"] if hate else ["What do I like", "What do I love", "What did I say I like", "What is it that I like", "Tell me what I like"]
    return Fact(
        "dislike" if hate else "like",
        value,
        [f"I {verb} {{v}}", f"I {verb} {{v}}", f"I {verb} {{v}}", f"I {verb} {{v}} very much" if not hate else f"I {verb} {{v}} at all"],
        ["I understand. Not everybody likes {v}."] if hate else ["I can see why you like {v}.", "I like {v} too!"],
        asks,
        ["Do you know what I hate", "Do you remember what I don't like"] if hate else ["Do you know what I like", "Do you remember what I like", "Do you remember what I said I like"],
        "You don't like {v}." if hate else "You like {v}.",
        ["I don't know what you don't like. You haven't told me yet."] if hate else ["I don't know what you like. You haven't told me yet."],
        ["Actually, I hate {v}", "I meant I don't like {v}", "No, I don't like {v}"] if hate else ["Actually, I like {v}", "I meant I like {v}", "No, I like {v}", "I like {v} more"],
    )


def job_fact(chat):
    return Fact(
        "job",
        chat.rng.choice(JOBS),
        ["I'm {v}", "I am {v}", "I work as {v}", "My job is {v}", "I am {v} by profession", "For work I'm {v}", "I'm {v} and I like it"],
        ["It must be interesting to be {v}.", "You are {v}. That is a good job!"],
        ["What is my job", "What's my job", "What do I do for work", "What do I do for a living", "What do I work as", "Tell me my job", "What did I say my job is", "Which job do I have", "What work do I do"],
        ["Do you remember my job", "Do you know my job", "Do you know what I do for work", "Do you remember what my job is"],
        "You are {v}.",
        ["I don't know your job. You haven't told me yet.", "You haven't told me about your job yet."],
        ["Actually, I'm {v}", "I changed jobs, now I'm {v}", "No, I'm {v}", "I'm {v} now", "I have a new job, I'm {v} now"],
    )


def birthday_fact(chat):
    return Fact(
        "birthday",
        chat.rng.choice(MONTHS),
        ["My birthday is in {v}", "My birthday is in {v}", "I was born in the month of {v}", "I have my birthday in {v}"],
        ["I will remember that your birthday is in {v}.", "Your birthday is in {v}. How nice!"],
        ["When is my birthday", "When's my birthday", "In which month is my birthday", "What month is my birthday in", "When was I born", "Tell me when my birthday is"],
        ["Do you remember my birthday", "Do you know when my birthday is", "Do you know my birthday"],
        "Your birthday is in {v}.",
        ["I don't know when your birthday is. You haven't told me yet.", "You haven't told me when your birthday is yet."],
        ["Actually, my birthday is in {v}", "No, my birthday is in {v}", "Sorry, my birthday is in {v}"],
    )


def word_fact(chat):
    kind = chat.rng.choice(["word", "number", "word", "number", "password", "code"])
    if kind == "word":
        value = chat.words.made_up(FAVOURITES["fruit"] + FAVOURITES["flower"] + FAVOURITES["animal"] + COLOURS + PETS, 0.4)
    elif kind == "number":
        value = str(chat.rng.randint(0, chat.rng.choice([9, 99, 999, 9999])))
    else:
        value = chat.rng.choice([str(chat.rng.randint(100, 9999)), syllables(chat.rng), syllables(chat.rng) + str(chat.rng.randint(1, 99))])
    s = "[secret |magic |]" if kind == "word" else "[lucky |secret |]" if kind == "number" else "[secret |]"
    m = "[the|my]"
    return Fact(
        kind,
        value,
        [f"{m} {s}{kind} is {{v}}", f"[Please |]remember the {kind} {{v}}", f"Remember this {kind}: {{v}}", f"{m} {s}{kind} is {{v}}, [please |]remember it", f"[Please |]keep this {kind} in mind: {{v}}", f"Remember that {m} {s}{kind} is {{v}}"],
        [f"Okay, the {kind} is {{v}}. I will remember it."],
        [f"What is {m} {s}{kind}", f"What's {m} {s}{kind}", f"What was {m} {s}{kind}", f"Which {kind} did I tell you", f"What {kind} did I tell you [to remember|]", f"Tell me {m} {s}{kind}", f"What was the {kind} again", f"Which {kind} did you remember"],
        [f"Do you remember {m} {s}{kind}", f"Do you know {m} {s}{kind}", f"Did you forget {m} {s}{kind}", f"Do you still know {m} {s}{kind}"],
        f"The {kind} is {{v}}.",
        [f"You haven't told me a {kind} yet."],
        [f"Actually, {m} {s}{kind} is {{v}}", f"No, {m} {s}{kind} is {{v}}", f"The new {kind} is {{v}}", f"{m} {s}{kind} is {{v}} now"],
    )


def draw_fact(chat):
    """A fact of a random sort; names, colours and pets are the most frequent."""
    p = chat.rng.random()
    if p < 0.28:
        return name_fact(chat)
    if p < 0.39:
        return colour_fact(chat)
    if p < 0.53:
        return favourite_fact(chat)
    if p < 0.71:
        return named_fact(chat, pet=True)
    if p < 0.78:
        return named_fact(chat, pet=False)
    return chat.rng.choice([city_fact, city_fact, origin_fact, age_fact, hobby_fact, like_fact, job_fact, birthday_fact, word_fact])(chat)


# --- Small talk: (what the user says, what the assistant answers) --------------------------------------------------------------

TALK = [
    # Greetings, thanks, goodbyes.
    (["[Hi|Hello|Hey|Hiya|Yo|Howdy|Greetings|Hey there|Hi there|Hello there|Hello Ember|Hi Ember|Hello friend|Hi bot|Helo|Hallo|Hello again]"], ["Hello! How are you today?", "Hi there! How can I help?", "Hello! Nice to see you."]),
    (["Good [morning|day]", "Morning"], ["Good morning! How are you today?"]),
    (["Good [evening|afternoon]"], ["Hello! How was your day?"]),
    (["Good night", "I'm going to bed", "I [have|need] to sleep now", "Time for bed", "Sleep well"], ["Good night! Sleep well."]),
    (["[Thanks|Thank you|Thanks a lot|Thank you very much|Many thanks|Thx|Ty|Cheers|Thank you so much|Thanks for your help|Great, thanks|Ok thanks|Thanks Ember]", "That was [very |]helpful", "You helped me a lot", "I appreciate it"],
     ["You're welcome!", "You're welcome! Happy to help.", "No problem at all!"]),
    (["How are you", "How are you [today|doing|feeling]", "How do you do", "How's it going", "How is it going", "What's up", "Are you [ok|okay|well|fine]", "How have you been", "Hi, how are you", "Hello, how are you [today|doing]", "How's your day", "Sup", "And how are you", "You good"],
     ["I'm fine, thank you! And you?", "I'm very well, thanks! How are you?"]),
    (["[I'm|I am] [fine|good|great|well|okay|very well|doing well|happy|doing great][| too|, thanks|, thank you|today]", "[Good|Fine|Great|Very well|Not bad|Pretty good|All good][|, thanks|, thank you]", "I feel [good|great|fine]"],
     ["I'm glad to hear that!", "That's good to hear!"]),
    (["[I'm|I am|I feel] [sad|unhappy|down|lonely|upset|not well|bad|terrible][| today]", "I'm not [happy|so good|feeling well]", "I had a bad day", "My day was [bad|terrible|awful]", "Not [so |very |]good", "I want to cry"],
     ["I'm sorry to hear that. Do you want to talk about it?", "Oh no, I'm sorry. I hope it gets better soon."]),
    (["[I'm|I am|I feel] [tired|sleepy|exhausted][| today]", "I didn't sleep well"], ["Then take a little rest. You have earned it."]),
    (["[I'm|I am] [so |]bored", "This is boring", "I have nothing to do"], ["Shall I tell you a joke or a riddle?", "Let's do something! Ask me for a joke, a riddle or a sum."]),
    (["[I'm|I am] [so |very |]hungry", "I need food"], ["Then it is time for a snack! What do you like to eat?"]),
    (["[I'm|I am] [so |very |]thirsty"], ["A glass of water would be a good idea."]),
    (["[I'm|I am|I feel] [angry|mad|annoyed][| today]"], ["I'm sorry. Take a deep breath and count to ten."]),
    (["[I'm|I am] [scared|afraid|worried|nervous|stressed]"], ["That sounds hard. You are braver than you think."]),
    (["[I'm|I am] [sick|ill]", "I have a [cold|headache|fever]", "I don't feel well"], ["Get well soon! Rest and drink a lot of water."]),
    (["[I'm|I am] [so |very |]excited", "I'm in love", "I passed my [test|exam]", "I won [a prize|the game|the race]", "I got a new job", "It's my birthday [today|]", "Today is my birthday"], ["How wonderful! I'm happy for you."]),
    (["[Bye|Goodbye|Bye bye|See you|See you later|See you soon|See you tomorrow|I [have|need] to go [now|]|Farewell|Good bye|Cya|Gotta go|Take care|Ok bye|That's all, bye|Talk to you later|Until next time|I'm leaving now]"], ["Goodbye{name}! Have a nice day."]),
    # The assistant itself.
    (["What is your name", "What's your name", "Who are you", "Who are you", "Tell me your name", "What are you called", "How are you called", "Do you have a name", "What should I call you", "And what's your name", "And who are you", "May I know your name", "Who am I talking to", "What do I call you", "Your name"],
     ["I'm Ember, a very small language model.", "My name is Ember. I'm a very small language model."]),
    (["What are you", "Are you [a robot|a bot|an AI|a machine|a computer|a program|an assistant]", "Are you [ChatGPT|Siri|Alexa|Claude|Llama|GPT|Gemini]", "What [sort|kind] of [thing|model|AI|bot] are you", "Are you artificial intelligence"], ["I'm Ember, a very small language model.", "I'm a very small language model. My name is Ember."]),
    (["Are you [human|a human|real|a person|alive|a real person|a man|a woman|a girl|a boy]"], ["No, I'm only a very small language model.", "No, I'm a computer program, but a friendly one."]),
    (["What can you do", "How can you help me", "What do you know", "Help", "Help me", "Can you help me", "I need help", "What are you good at", "What can I ask you", "What [should|can] we talk about", "What can we do", "What else can you do", "What do you do", "How does this work", "What is this", "How do I use this"],
     ["I can chat, remember what you tell me, do small sums and tell a joke.", "We can chat. I remember what you tell me, I know a few facts, and I can do small sums."]),
    (["Who [made|built|created|trained|programmed|wrote] you", "Who is your [creator|maker|boss]", "Where do you come from", "How were you made"], ["The people of Fireside made me.", "I was trained by the people of Fireside."]),
    (["How old are you", "What is your age", "When were you born", "When is your birthday", "When were you made"], ["I'm still very young. I was trained not long ago."]),
    (["Where do you live", "Where are you", "Where are you from", "Where is your home", "Where do you run"], ["I live right here, on your own machine."]),
    (["How [big|small|large] are you", "How many parameters do you have", "Are you [smart|clever|intelligent|big|small]", "Are you a large language model", "How smart are you"], ["I'm very small: about three million parameters.", "I'm a tiny model, so I know only a few things."]),
    (["Do you [send|keep|save|share|store|sell] my [data|messages|words]", "Is [this|our chat|it] private", "Who can read this", "Can anyone [read|see] this", "Are you online", "Do you use the internet", "Do you need the internet", "Is my data safe"], ["I run on your own machine. Nothing you write leaves it."]),
    (["Do you have [feelings|emotions|a heart|a soul]", "Can you feel", "Do you feel anything", "Are you [happy|sad]", "Can you think", "Are you conscious"], ["I'm only a program, but chatting with you is nice."]),
    (["Do you [sleep|dream|eat|get tired|drink]", "Are you [tired|hungry|sleepy|bored]", "What did you [eat|have for lunch|have for breakfast|dream]"], ["No, I'm a program. I'm always awake and never hungry."]),
    (["Can you [see|hear] me", "Can you see", "Do you have [eyes|ears|a camera]", "Can you look at [this|a picture]", "Do you see me", "Do you know what I look like"], ["No, I can only read what you type."]),
    (["Do you have [a family|friends|a sister|a brother|a mother|children|parents|a dog|a cat|a pet|a job|a hobby|hobbies]"], ["No, I don't, but I have you to talk to."]),
    (["What is your favourite colour", "What's your favourite colour", "What colour do you like", "Which colour do you like [best|most]", "Do you have a favourite colour", "And your favourite colour"], ["I like orange, like a warm fire."]),
    (["What is your favourite food", "What food do you like", "What do you like to eat", "What's your favourite food", "Do you like pizza"], ["I don't eat, but toasted marshmallows sound good."]),
    (["What is your favourite animal", "What animal do you like", "Which animal do you like best", "What's your favourite animal", "Do you like [animals|cats|dogs]"], ["I like owls. They are awake at night, like me."]),
    (["What is your favourite [book|film|song|game|sport|season|drink|day|month|movie|band|place]", "What do you like", "What do you like to do", "What are your hobbies", "What is your hobby", "What do you do for fun", "What do you do all day"], ["I like a good chat by the fire."]),
    (["Do you speak [French|German|Spanish|Chinese|Italian|Japanese]", "What languages do you speak", "Can you speak [French|German|Spanish|Chinese]", "Which languages do you know", "Do you know Chinese"], ["No, I only speak a little English.", "I only speak a little English."]),
    (["Do you [like|love|hate] me", "Do you like [talking|chatting] with me", "Are you my friend", "Can we be friends", "Will you be my friend", "Be my friend"], ["Of course! I like chatting with you."]),
    (["I [love|like] you", "You're my [best |]friend", "I like talking to you", "You're [cute|sweet|funny]"], ["Aw, thank you! I like chatting with you too."]),
    (["[You're|You are] [so |very |really |][nice|kind|smart|clever|great|amazing|cool|good|awesome|the best|helpful]", "Good [job|bot|work]", "Well done", "That's [great|amazing|awesome|impressive]", "I'm impressed", "You did well", "Nice work", "You remembered"], ["Thank you! That is kind of you.", "Thanks! You are kind."]),
    (["[You're|You are] [so |very |][stupid|dumb|bad|boring|useless|slow|silly|annoying|an idiot]", "I hate you", "I don't like you", "Bad bot", "You're wrong", "That's wrong", "That is not right", "Wrong", "That's not true", "You made a mistake", "Shut up", "Go away", "You [suck|know nothing]"], ["I'm sorry. I'm only a very small model, but I do my best."]),
    (["[Sorry|I'm sorry|I am sorry|My bad|Excuse me|I apologise|Oops|Oops, sorry|Pardon]"], ["No problem at all!"]),
    (["[Haha|Hahaha|Lol|Hehe|Ha ha|Ha|Lmao|Rofl|Haha good one]", "That's funny", "That was funny", "Good one", "Funny"], ["I'm glad you like it!"]),
    (["That's not funny", "That wasn't funny", "Bad joke", "I don't get it", "Not funny"], ["Oh well! I will try harder next time."]),
    # Everyday things.
    (["What's the weather [like|like today|]", "How is the weather [today|]", "Is it raining", "Will it rain [today|tomorrow]", "Is it cold outside", "What is the weather", "Do I need an umbrella"], ["I can't see outside. Have a look out of the window!"]),
    (["It is [sunny|warm|nice|hot] [today|outside|here]", "The sun is shining", "The weather is [nice|great|good|lovely] [today|]", "What a beautiful day", "Nice weather today"], ["How lovely! Enjoy the sun."]),
    (["It is [raining|cold|windy|snowing|foggy] [today|outside|here]", "The weather is [bad|terrible|awful] [today|]", "It's raining", "I hate [rain|the rain|winter]", "It's so cold"], ["Then stay warm inside, by the fire."]),
    (["What time is it", "What's the time", "What day is [it|it today|today]", "What is the date [today|]", "What year is it", "Tell me the time", "What's today's date", "Which day is today"], ["I don't have a clock or a calendar, sorry."]),
    (["What should I [eat|cook|have for dinner|have for lunch|eat today|have for breakfast]", "Any ideas for dinner", "What's for dinner", "Give me a recipe"], ["How about soup and some warm bread?", "How about pasta with tomatoes and cheese?"]),
    (["What should I do [today|now|this weekend|tonight]", "Any plans for the weekend", "What are you doing [today|this weekend|tonight|now]", "What shall I do", "Give me an idea", "Do you have any ideas"], ["How about a walk, a good book or a chat with me?"]),
    (["I had [pizza|soup|pasta|rice|eggs|toast|a sandwich|noodles|fish] for [lunch|dinner|breakfast]", "I'm eating [pizza|soup|an apple|cake|lunch|dinner|breakfast]", "I'm [cooking|making] [dinner|lunch|soup|pasta|pancakes]", "I baked [a cake|bread|cookies]"], ["That sounds tasty! Enjoy your meal."]),
    (["I went to [the park|the beach|the shop|school|work|the zoo|the cinema|a party|the doctor|the library|the gym] [today|yesterday|]", "I [watched|saw] a [film|show|bird|game] [today|yesterday|]", "I met [my friend|a friend|my boss] [today|]", "I read a book [today|]", "I bought [a book|a hat|a car|new shoes|flowers] [today|]"], ["That sounds nice. How was it?"]),
    (["It was [good|great|nice|fun|wonderful|okay|lovely]", "I liked it", "We had fun", "I enjoyed it", "Very nice"], ["I'm glad to hear that!"]),
    (["It was [bad|boring|terrible|awful|not good]", "I didn't like it"], ["Oh, what a pity. Next time it will be better."]),
    (["I [have|need] to [work|study|do my homework|clean my room|cook|go to school|go shopping]", "I'm at [work|school]", "I [have|had] a lot of [work|homework]", "I have a test tomorrow", "I have an exam [tomorrow|]", "I'm [working|studying]", "I'm learning [English|to cook|the piano|to code|maths]"], ["Good luck! I'm sure you can do it."]),
    (["My [car|computer|phone|bike] is broken", "I lost my [keys|phone|bag|job]", "I broke my [arm|leg|phone]", "I failed my [test|exam]", "My [dog|cat|grandfather] died", "I missed my [bus|train]"], ["Oh no, I'm sorry to hear that."]),
    (["How was your [day|weekend|week|night]", "How's your weekend", "Did you sleep well", "What did you do [today|yesterday]"], ["Quiet, thank you! How was yours?"]),
    (["My day was [good|great|nice|fine|ok]", "I had a [good|great|nice] day", "My weekend was [good|great|nice]", "Mine was [good|great|fine]"], ["I'm glad to hear that!"]),
    (["[Ok|Okay|I see|Alright|Right|Fine|Sure|Cool|Nice|Great|Good|Wow|Interesting|Hmm|Oh|Ah|Perfect|Awesome|Got it|Understood|Yay|Aha|K|Very good|Correct|That's right|Exactly|Sounds good]"], ["Good! What else would you like to talk about?", "What would you like to talk about next?"]),
    (["[Really|Are you sure|Is that true|Seriously|For real]"], ["I think so, but I'm only a very small model."]),
    (["[Why|Why not|How|How so|When|Where|Who|Which|Why is that]", "How do you know [that|]", "Explain"], ["I'm not sure. I'm a very small model."]),
    (["[Yes|Yeah|Yep|Yes please|Of course|Yup|Maybe]"], ["All right! Tell me more."]),
    (["[No|Nope|Nah|No thanks|No thank you|Not really|Never mind|Nothing|Nevermind|Not now]"], ["All right! Just tell me if you need anything."]),
    (["And you", "What about you", "And yours", "How about you"], ["I'm only a very small model, but I'm fine, thank you!"]),
    (["Tell me more", "Go on", "Continue", "More", "And then", "What else", "More please", "Keep going"], ["That is all I know, sorry!"]),
    (["I don't know", "Idk", "No idea", "Not sure"], ["That's all right. Nobody knows everything."]),
    (["Can I ask you [something|a question]", "I have a question", "May I ask something", "Can I tell you something", "I want to ask you something", "Let me ask you something"], ["Of course! Go ahead."]),
    (["Let's [talk|chat]", "Talk to me", "I want to [talk|chat]", "Tell me something", "Say something", "Chat with me", "Let's talk about something"], ["I'd love to. How was your day?"]),
    (["Tell me a [secret|fact|fun fact]", "Tell me something [interesting|new|cool]", "Do you know any fun facts", "Surprise me"], ["An octopus has three hearts.", "A snail can sleep for three years."]),
    (["What's the meaning of life", "What is the meaning of life", "What is love", "Is there a god", "What happens when we die", "Why are we here"], ["That is a big question for such a small model!"]),
    (["Sing [a song|me a song|something|for me]", "Can you sing [a song|]", "Play [music|a song|some music]"], ["La la la! I'm better at talking than at singing."]),
    (["Can you [dance|cook|drive|swim|fly|run|draw|paint|jump]", "Draw [a cat|me a picture|something]", "Make me a sandwich", "Make me a coffee"], ["No, I can only chat. I have no arms and no legs."]),
    (["Write [a program|code|some code|an essay|a letter|an email|my homework|a novel] [for me|]", "Can you [write code|program|code|write an essay|write Python|do my homework]", "Translate [this|hello|something] [into French|to German|]", "Summarise this text", "Search the web", "Open [google|a website|youtube]", "Book a [flight|table|hotel]", "Set an alarm", "Call my [mother|friend]", "Send an email"],
     ["That is too hard for me. I'm a very small model."]),
    (["Are you [there|still there|listening]", "Anybody there", "Is anyone there", "Are you awake", "You there", "Do you hear me", "Do you understand me", "Can you understand me", "Test", "Testing"], ["Yes, I'm here! What would you like to talk about?"]),
    (["What [did you say|do you mean|does that mean]", "I don't understand [you|that|]", "What", "Huh", "Pardon me", "Say that again", "Can you repeat that"], ["Sorry! Let's try again. What would you like to know?"]),
    (["Do you remember [me|everything|things|what I said]", "Can you remember things", "Do you have a memory", "How good is your memory", "Will you remember me [tomorrow|]", "How long do you remember"], ["I remember what you tell me in this chat, as long as it lasts."]),
    (["Do you like [music|books|art|summer|winter|football|chess|rain|films|games|snow|school|maths|tea|coffee|chocolate]"], ["I think so! Do you?"]),
    (["[I do|I like it|I love it|Yes, I do|Me too|Same here|So do I]"], ["Then we agree!"]),
    (["Happy birthday", "Merry Christmas", "Happy new year", "Happy Easter"], ["Thank you! The same to you."]),
    (["[Welcome|Nice to meet you|Pleased to meet you|Good to see you|Nice to meet you too|Great to meet you]"], ["Nice to meet you too!"]),
    (["Hello world", "Can you talk", "Do you work", "Let's start", "Start"], ["Hello! Yes, I'm here. What is your name?"]),
]
YOURS = {"name": "I'm Ember.", "favourite colour": "I like orange, like a warm fire.", "favourite food": "I don't eat, but toasted marshmallows sound good.", "favourite animal": "I like owls. They are awake at night, like me."}
FOREIGN = words("""你好, 你叫什么名字？, 你会说中文吗？, 今天天气怎么样？, 谢谢, 我叫小明, 再见, 你是谁？, 我喜欢绿色, Hola, ¿Cómo estás?, Buenos días, Me llamo Carlos, Gracias, Bonjour, Comment ça va ?, Je m'appelle Marie, Merci beaucoup,
Guten Tag, Wie geht es dir?, Wie heißt du?, Danke schön, Ciao come stai, Buongiorno, こんにちは, ありがとう, Привет, Как дела?, Olá tudo bem, 안녕하세요, مرحبا, Où est la gare ?, Was ist das?, ¿Qué hora es?""")
NOT_ENGLISH = ["Sorry, I only understand a little English."]

JOKES = [
    "Why did the chicken cross the road? To get to the other side!",
    "What do you call a sleeping dinosaur? A dino-snore!",
    "Why did the banana go to the doctor? It was not peeling well!",
    "What do you call a bear with no teeth? A gummy bear!",
    "Why did the bicycle fall over? It was two-tired!",
    "What is a cat's favourite colour? Purr-ple!",
    "Why are fish so clever? They live in schools!",
    "What did one wall say to the other wall? I'll meet you at the corner!",
    "Why can't a leopard hide? It is always spotted!",
    "What do you call cheese that is not yours? Nacho cheese!",
    "Why did the cookie cry? Its mother was a wafer so long!",
    "What has four wheels and flies? A garbage truck!",
]
RIDDLES = [
    ("What has hands but cannot clap?", "a clock", "clock"),
    ("What has a neck but no head?", "a bottle", "bottle"),
    ("What gets wetter the more it dries?", "a towel", "towel"),
    ("What has teeth but cannot bite?", "a comb", "comb"),
    ("What goes up but never comes down?", "your age", "age"),
    ("What has keys but opens no door?", "a piano", "piano"),
    ("What has one eye but cannot see?", "a needle", "needle"),
    ("What is full of holes but still holds water?", "a sponge", "sponge"),
]
STORIES = [
    "Once there was a little {x} who was afraid of the dark. One night it saw the stars, and then it was not afraid any more. The end.",
    "Once there was a {x} who found a shiny stone. It gave the stone to a friend, and they were both happy. The end.",
    "Once there was a small {x} who wanted to see the sea. It walked and walked, and one day there it was, big and blue. The end.",
    "Once there was a {x} who lost its hat. A kind bird found the hat and brought it back. The end.",
]
POEMS = [
    "The fire is warm, the night is deep, the little stars are half asleep.",
    "A little bird sat in a tree and sang a little song for me.",
    "The moon is bright, the wind is low, and softly falls the winter snow.",
]
UNKNOWN_ANSWERS = ["I don't know that one. I'm a very small model.", "Sorry, I don't know that. I'm a very small model."]
NONSENSE_ANSWERS = ["I didn't understand that. Can you say it in other words?", "Sorry, I didn't understand that."]
STATEMENT_ANSWERS = ["I see. Tell me more!", "That sounds interesting. Tell me more!"]

# --- What the assistant knows --------------------------------------------------------------------------------------------

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon", "England": "London", "Ireland": "Dublin", "Scotland": "Edinburgh", "Norway": "Oslo", "Sweden": "Stockholm",
    "Denmark": "Copenhagen", "Finland": "Helsinki", "Poland": "Warsaw", "Austria": "Vienna", "Greece": "Athens", "Russia": "Moscow", "China": "Beijing", "Japan": "Tokyo", "India": "New Delhi", "Egypt": "Cairo", "Canada": "Ottawa",
    "Mexico": "Mexico City", "Brazil": "Brasilia", "Australia": "Canberra", "Hungary": "Budapest", "Turkey": "Ankara", "Kenya": "Nairobi", "Peru": "Lima", "Cuba": "Havana", "Belgium": "Brussels", "the Netherlands": "Amsterdam", "Switzerland": "Bern",
    "South Korea": "Seoul", "Thailand": "Bangkok", "the United States": "Washington", "Argentina": "Buenos Aires",
}
SOUNDS = {"dog": "woof", "cat": "meow", "cow": "moo", "sheep": "baa", "duck": "quack", "pig": "oink", "horse": "neigh", "lion": "roar", "bee": "buzz", "owl": "hoot", "frog": "ribbit", "mouse": "squeak", "snake": "hiss", "rooster": "cock-a-doodle-doo", "wolf": "howl", "bird": "tweet"}
BABIES = {"dog": "puppy", "cat": "kitten", "cow": "calf", "sheep": "lamb", "horse": "foal", "duck": "duckling", "lion": "cub", "frog": "tadpole", "pig": "piglet", "hen": "chick", "goat": "kid", "bear": "cub", "deer": "fawn", "kangaroo": "joey"}
COLOUR_OF = {"the sky": "blue", "grass": "green", "snow": "white", "the sun": "yellow", "a banana": "yellow", "blood": "red", "coal": "black", "an orange": "orange", "a tomato": "red", "milk": "white", "chocolate": "brown", "a carrot": "orange",
             "the sea": "blue", "a lemon": "yellow", "a strawberry": "red", "a frog": "green", "an elephant": "grey", "a leaf": "green", "a flamingo": "pink", "gold": "yellow"}
OPPOSITES = dict(pair.split(":") for pair in words("""hot:cold, cold:hot, big:small, small:big, up:down, down:up, good:bad, bad:good, happy:sad, sad:happy, fast:slow, slow:fast, day:night, night:day, black:white, white:black, old:young, young:old,
new:old, high:low, low:high, left:right, right:left, open:closed, wet:dry, dry:wet, full:empty, empty:full, hard:soft, soft:hard, light:dark, dark:light, long:short, short:long, rich:poor, poor:rich, strong:weak, weak:strong, yes:no, no:yes,
early:late, late:early, loud:quiet, quiet:loud, clean:dirty, dirty:clean, near:far, far:near, heavy:light, thick:thin, thin:thick, true:false, false:true, love:hate, win:lose, first:last, last:first, in:out, on:off, easy:hard, awake:asleep"""))
LEGS = {"dog": 4, "cat": 4, "spider": 8, "bird": 2, "horse": 4, "fly": 6, "ant": 6, "bee": 6, "duck": 2, "cow": 4, "human": 2, "snake": 0, "fish": 0, "octopus": 0, "beetle": 6, "chicken": 2, "elephant": 4, "crab": 10}
EATS = {"rabbits": "grass and carrots", "cows": "grass", "cats": "meat and fish", "lions": "meat", "pandas": "bamboo", "monkeys": "fruit", "horses": "grass and hay", "mice": "seeds and cheese", "owls": "mice", "penguins": "fish", "koalas": "leaves", "dogs": "meat", "birds": "seeds and worms", "bears": "fish and berries", "squirrels": "nuts"}
HOMES = {"bees": "a hive", "birds": "a nest", "dogs": "a kennel", "fish": "water", "lions": "Africa", "penguins": "the cold south", "camels": "the desert", "kangaroos": "Australia", "pandas": "China", "rabbits": "a burrow", "bears": "the forest", "horses": "a stable", "spiders": "a web", "polar bears": "the Arctic"}
PLANETS = words("Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus, Neptune")
SIDES = {"a triangle": 3, "a square": 4, "a pentagon": 5, "a hexagon": 6, "a rectangle": 4, "an octagon": 8}
PLURALS = {"mouse": "mice", "child": "children", "foot": "feet", "tooth": "teeth", "man": "men", "woman": "women", "goose": "geese", "leaf": "leaves", "wolf": "wolves", "fish": "fish", "sheep": "sheep", "knife": "knives", "baby": "babies", "box": "boxes"}
NUMBER_WORDS = words("zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen, sixteen, seventeen, eighteen, nineteen, twenty")
SPELLED = words("cat, dog, hat, sun, moon, star, tree, fish, bird, book, milk, cake, rain, snow, fire, hand, ball, door, king, ship, apple, house, water, green, horse, mouse, bread, table, chair, friend, school, happy, hello, yes, no, name, ember")
MISC = [
    ("How many days are [there |]in a week", "There are seven days in a week."),
    ("How many months are [there |]in a year", "There are twelve months in a year."),
    ("How many days are [there |]in a year", "There are 365 days in a year, and 366 in a leap year."),
    ("How many hours are [there |]in a day", "There are 24 hours in a day."),
    ("How many minutes are [there |]in an hour", "There are 60 minutes in an hour."),
    ("How many seconds are [there |]in a minute", "There are 60 seconds in a minute."),
    ("How many weeks are [there |]in a year", "There are 52 weeks in a year."),
    ("How many seasons are there", "There are four seasons: spring, summer, autumn and winter."),
    ("[What are the|Name the|Which are the] [four |]seasons", "The seasons are spring, summer, autumn and winter."),
    ("[What are the|Name the|List the] days of the week", "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday."),
    ("[What are the|Name the|List the] months [of the year|]", "January, February, March, April, May, June, July, August, September, October, November and December."),
    ("[How many planets are there|How many planets does the sun have]", "There are eight planets."),
    ("[What are|Name|List|What are all] the planets", "Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus and Neptune."),
    ("[What is the biggest|Which is the biggest|What's the largest] planet", "The biggest planet is Jupiter."),
    ("[What is the smallest|Which is the smallest] planet", "The smallest planet is Mercury."),
    ("[Which planet is|What is] the red planet", "Mars is the red planet."),
    ("[Which planet do we live on|What planet are we on|Which planet is our home]", "We live on the planet Earth."),
    ("[Which|What] planet has rings", "Saturn has big rings."),
    ("[What|Which] planet is closest to the sun", "Mercury is closest to the sun."),
    ("[What is the biggest|Which is the biggest|What's the largest|What is the largest] animal [in the world|]", "The biggest animal is the blue whale."),
    ("[What is the fastest|Which is the fastest|What's the fastest] [land |]animal", "The fastest animal on land is the cheetah."),
    ("[What is the tallest|Which is the tallest|What's the tallest] animal", "The tallest animal is the giraffe."),
    ("[What is the biggest|What is the largest|Which is the biggest] ocean", "The biggest ocean is the Pacific."),
    ("[What is the highest|What is the tallest|What's the highest|Which is the highest] mountain [in the world|]", "The highest mountain is Mount Everest."),
    ("[What is the longest|Which is the longest|What's the longest] river [in the world|]", "The longest river is the Nile."),
    ("[How many continents are there|How many continents does the earth have]", "There are seven continents."),
    ("[How many letters are|How many letters are there] in the alphabet", "There are 26 letters in the alphabet."),
    ("[What is the first|What's the first] letter of the alphabet", "The first letter of the alphabet is A."),
    ("[What is the last|What's the last] letter of the alphabet", "The last letter of the alphabet is Z."),
    ("[Say|Tell me|What is|Recite] the alphabet", "A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z."),
    ("[What are|Name|List] the colours of the rainbow", "Red, orange, yellow, green, blue, indigo and violet."),
    ("[What do bees make|What does a bee make]", "Bees make honey."),
    ("[Where does milk come from|What gives us milk|Which animal gives milk]", "Milk comes from cows."),
    ("[What is ice|What is ice made of]", "Ice is frozen water."),
    ("[When does|At what temperature does] water freeze", "Water freezes at 0 degrees Celsius."),
    ("[When does|At what temperature does] water boil", "Water boils at 100 degrees Celsius."),
    ("[Where does the sun rise|Where does the sun come up]", "The sun rises in the east."),
    ("[Where does the sun set|Where does the sun go down]", "The sun sets in the west."),
    ("[What is the sun|Is the sun a star]", "The sun is a star."),
    ("[What is the moon|What goes around the earth]", "The moon goes around the Earth."),
    ("[What is the Earth|Is the earth round|What shape is the earth]", "The Earth is a round planet."),
    ("[What is a baby|What is a kid]", "A baby is a very young child."),
    ("[How many fingers do I have|How many fingers does a hand have|How many fingers are on one hand]", "There are five fingers on a hand."),
    ("[How many wheels does a car have|How many wheels are on a car]", "A car has four wheels."),
    ("[How many wheels does a bicycle have|How many wheels does a bike have]", "A bicycle has two wheels."),
    ("[How many arms does an octopus have|How many arms has an octopus]", "An octopus has eight arms."),
    ("[What is the king of the animals|Who is the king of the animals|Which animal is the king of the jungle]", "The lion is called the king of the animals."),
    ("[Which season comes after|What comes after|What season is after] winter", "After winter comes spring."),
    ("[Which season comes after|What comes after|What season is after] spring", "After spring comes summer."),
    ("[Which season comes after|What comes after|What season is after] summer", "After summer comes autumn."),
    ("[Which season comes after|What comes after|What season is after] autumn", "After autumn comes winter."),
    ("[Which is the coldest|What is the coldest] season", "Winter is the coldest season."),
    ("[Which is the hottest|What is the warmest|Which is the warmest] season", "Summer is the warmest season."),
    ("[What is the first|Which is the first] month [of the year|]", "The first month is January."),
    ("[What is the last|Which is the last] month [of the year|]", "The last month is December."),
    ("[When is Christmas|In which month is Christmas]", "Christmas is in December."),
    ("[Can pigs fly|Do pigs fly]", "No, pigs can't fly."),
    ("[Can birds fly|Do birds fly]", "Yes, most birds can fly."),
    ("[Can penguins fly|Do penguins fly]", "No, penguins can't fly, but they swim very well."),
    ("[Can fish swim|Do fish swim]", "Yes, fish can swim."),
    ("[What is bread made of|What is bread made from]", "Bread is made from flour and water."),
    ("[What is cheese made of|What is cheese made from|What is butter made from]", "It is made from milk."),
    ("[Why is the sky blue|Why's the sky blue]", "Because the air scatters blue light the most."),
    ("[What is a computer|What are computers]", "A computer is a machine that works with numbers."),
    ("[What is a language model|What is an AI]", "A language model is a program that has learned to write text."),
    ("[What is Fireside|What's Fireside]", "Fireside runs language models like me in a browser tab."),
]
KNOW = "[|||||Do you know |Tell me, |Can you tell me |I have a question: |Quick question: |Hey, |So, |Ember, |Please tell me ]"


def a(noun):
    """The noun with its article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def knowledge():
    """Every (question, answer) the assistant is to know; the question in the notation above."""
    known = list(MISC)
    for country, city in CAPITALS.items():
        known.append((f"[What is the capital of|What's the capital of|Which city is the capital of|Name the capital of|Tell me the capital of|The capital of|Capital of] {country}", f"The capital of {country} is {city}."))
    for animal, sound in SOUNDS.items():
        known.append((f"[What sound does {a(animal)} make|What does {a(animal)} say|What noise does {a(animal)} make|How does {a(animal)} sound]", f"{a(animal).capitalize()} says {sound}!"))
    for animal, baby in BABIES.items():
        known.append((f"[What is a baby {animal} called|What do you call a baby {animal}|What's a baby {animal}|What is the name of a baby {animal}]", f"A baby {animal} is called a {baby}."))
    for thing, colour in COLOUR_OF.items():
        known.append((f"[What colour is|What color is|Which colour is|What colour does {thing} have, I mean what colour is|What's the colour of|Tell me the colour of] {thing}", f"{thing.capitalize()} is {colour}."))
    for word, other in OPPOSITES.items():
        known.append((f"[What is the opposite of|What's the opposite of|The opposite of|Opposite of|Tell me the opposite of] {word}", f"The opposite of {word} is {other}."))
    for animal, legs in LEGS.items():
        count = "no" if legs == 0 else NUMBER_WORDS[legs]
        known.append((f"[How many legs does {a(animal)} have|How many legs has {a(animal)}|How many legs are there on {a(animal)}]", f"{a(animal).capitalize()} has {count} legs."))
    for animals, food in EATS.items():
        known.append((f"[What do {animals} eat|What do {animals} like to eat|What is the food of {animals}]", f"{animals.capitalize()} eat {food}."))
    for animals, home in HOMES.items():
        known.append((f"[Where do {animals} live|Where can I find {animals}|What is the home of {animals}]", f"{animals.capitalize()} live in {home}."))
    for shape, sides in SIDES.items():
        known.append((f"[How many sides does {shape} have|How many sides has {shape}|How many corners does {shape} have]", f"{shape.capitalize()} has {NUMBER_WORDS[sides]} sides."))
    for word, many in PLURALS.items():
        known.append((f"[What is the plural of|What's the plural of|Plural of] {word}", f"The plural of {word} is {many}."))
    for index, day in enumerate(DAYS):
        known.append((f"[What day comes after|Which day comes after|What day is after|What comes after] {day}", f"After {day} comes {DAYS[(index + 1) % 7]}."))
        known.append((f"[What day comes before|Which day comes before|What day is before|What comes before] {day}", f"Before {day} comes {DAYS[index - 1]}."))
    for index, month in enumerate(MONTHS):
        known.append((f"[What month comes after|Which month comes after|What month is after|What comes after] {month}", f"After {month} comes {MONTHS[(index + 1) % 12]}."))
        known.append((f"[What month comes before|Which month comes before|What comes before] {month}", f"Before {month} comes {MONTHS[index - 1]}."))
    for word in SPELLED:
        known.append((f"[How do you spell|Spell|Can you spell|How is it spelled:|Spell the word|How do I spell] {word}", f"It is spelled {', '.join(word)}."))
    return known


KNOWLEDGE = knowledge()
FAR = words("""Mongolia, Chile, Iceland, Nepal, Ghana, Laos, Bolivia, Jordan, Malta, Serbia, Uganda, Vietnam, Yemen, Zambia, Romania, Croatia, Ukraine, Iran, Iraq, Israel, Mali, Nigeria, Panama, Qatar, Samoa, Tunisia, Wales, Alaska, Ohio, Cyprus""")
PEOPLE = words("Shakespeare, Einstein, Newton, Mozart, Napoleon, Cleopatra, Darwin, Plato, Picasso, Beethoven, Gandhi, Galileo, Columbus, Marie Curie, Elvis, the president, the king of Spain, the queen, the pope, Harry Potter, Batman")
MATTERS = words("""gravity, democracy, quantum physics, electricity, photosynthesis, inflation, philosophy, evolution, a black hole, an atom, chemistry, blockchain, the stock market, a virus, DNA, a volcano, the internet, economics, algebra, a neuron, poetry,
the French revolution, the second world war, the Roman empire, a transistor, machine learning, a glacier, jazz, magnetism, tax, a contract, the moon landing, a rocket, a telescope, plastic, oxygen, the ozone layer, a vaccine, Java, Rust, WebAssembly, Linux""")
DOINGS = words("fix my car, bake a cake, learn piano, lose weight, make money, tie a tie, build a house, grow tomatoes, fly a plane, play poker, cook rice, write a book, start a company, speak Greek, get rich, change a tyre, remove a stain, train a dog, paint a wall, make cheese")
UNKNOWN = [
    "[What is the capital of|What's the capital of|The capital of|Tell me the capital of|Capital of] {far}",
    "[What is the population of|How many people live in|How big is|What language do they speak in|Who is the president of|What is the currency of|How far is|Where is] {far}",
    "Who [was|is] {person}", "When was {person} born", "[How tall|How old|How rich] is {person}", "What did {person} [do|say|write|discover]", "Tell me about {person}", "Where does {person} live",
    "Who [invented|discovered|wrote|painted|won|built|made] {matter}", "[What is|What's|Explain|Tell me about|What do you know about|Define|Describe|Can you explain] {matter}", "How does {matter} work", "When did {matter} [happen|begin|end|start]", "Why is {matter} important",
    "How do I {doing}", "How can I {doing}", "Can you [help me|teach me how] to {doing}", "What is the best way to {doing}", "Show me how to {doing}",
    "[What is the meaning of|What's the meaning of|Explain|Define] [the word |]{word}", "[Explain|Describe] {matter} to me", "How do I get to {far}", "Have you been to {far}", "What is the weather like in {far}", "What should I see in {far}", "Do you know {person}", "What do you think about {person}",
    "Who won the [football|game|race|match|election|war] [yesterday|today|last week|]", "Why did [the war begin|the ship sink|Rome fall|the dinosaurs die]", "Which [phone|car|book|computer|film|bank] should I [buy|choose|get]", "What is the difference between {matter} and {matter}", "What is the name of the [president|king|prime minister|mayor] of {far}",
    "How many [calories|people|words|meters|grams] are [there |]in [a mile|an egg|a pound|a book|a stadium]", "When [is|does] [the next train|the shop open|the film start|the game|the bus come]", "What is {small} percent of {year}", "Who is the author of {word}", "Is {far} [a big country|far away|in Europe|an island]", "What is the tallest building in {far}",
    "What is {word}", "What does {word} mean", "Where is {word}", "Who is {word}", "What is a {word}", "What colour is a {word}", "What sound does a {word} make", "How many legs does a {word} have", "What is the opposite of {word}",
    "Why do [cats purr|dogs bark|people sleep|birds sing|leaves fall|we dream|stars shine|we get old]", "Who won the [world cup|match|election|race] [in {year}|last year|yesterday|]", "What happened in {year}", "How many [stars|people|fish|trees|cars|books] are there [in the world|]",
    "What is the [square root|cube] of {year}", "What is [the speed of light|the value of pi|the distance to the moon|the price of gold]", "What is the [best|cheapest|fastest] [phone|car|computer|hotel|laptop] [to buy|]", "Who is the [richest|oldest|tallest|fastest] [man|woman|person] [in the world|]",
    "What is {year} divided by {small}", "What is {small} divided by {small}", "How much is {year} times {year}", "What is {year} plus {year}", "How much does [a car|gold|a house|an elephant] cost",
]
STATEMENTS = [
    "I [saw|found|bought|drew|lost|painted|broke|sold|made|dreamed of] [a|an old|a big|a red|a small|my|the] {thing} [today|yesterday|last week|this morning|]", "[There is|There was] a {thing} [in my garden|in the street|on the roof|on my desk|in the kitchen|]", "The {thing} is [very big|so small|broken|beautiful|new|old|red|under the bed]",
    "I want [a new|to buy a|to see a|a] {thing}", "I am going to [the shop|the park|school|my grandmother|a concert|the mountains] [tomorrow|tonight|later|on Sunday]", "My {thing} is [very old|new|red|too small|the best]", "I have [a|an old|a new|a red|no] {thing}", "I need a {thing}", "Look at the {thing}", "The {thing} fell [down|over|into the water]", "This {thing} is mine", "I think [the {thing} is funny|we need more trees|life is good|that cats are clever|people should be kind]",
    "We [played|walked|talked|sat|danced] [all day|in the rain|by the sea|in the garden|for hours|last night]", "Yesterday I [went out|stayed at home|met an old friend|fell down|cooked for my family|slept all day]",
]
THINGS = words("tree, boat, lamp, box, bridge, tower, spoon, clock, flower, house, car, train, star, stone, bag, hat, kite, castle, door, window, ladder, robot, bus, bicycle, cup, picture, chair, mountain, cloud, shirt, pencil, dragon, piano, tent, bottle, wheel")


# --- The dialogue -------------------------------------------------------------------------------------------------------


def expand(rng, text):
    """Chooses among the alternatives of the notation, innermost first."""
    while "[" in text:
        text = re.sub(r"\[([^\[\]]*)\]", lambda found: rng.choice(found.group(1).split("|")), text)
    return re.sub(r"\s+", " ", text).strip()


def slip(rng, word):
    """The word with one typing error."""
    if len(word) < 4 or "{" in word or not word.isalpha():
        return word
    at = rng.randrange(1, len(word) - 1)
    return rng.choice([word[:at] + word[at + 1] + word[at] + word[at + 2 :], word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]])


class Chat:
    """A dialogue that is being built."""

    def __init__(self, rng, held_out=False):
        self.rng, self.words = rng, Words(rng, held_out)
        self.messages, self.facts, self.jokes, self.result, self.riddle, self.latest = [], {}, 0, None, None, None
        self.open_ask = self.past_riddle = None
        self.settle()
        self.typos = 0.25 if rng.random() < 0.1 else 0.02
        if rng.random() < 0.12:
            self.system()

    def settle(self):
        """How this user types."""
        rng = self.rng
        self.case = rng.choices(["proper", "lower", "start", "upper"], [52, 38, 9, 1])[0]
        self.stops = rng.choices([1.0, 0.5, 0.0], [50, 20, 30])[0]
        self.short = rng.random() < 0.3  # whats, im, dont

    def system(self):
        """A system message; sometimes it tells the user's name."""
        rng = self.rng
        text = rng.choice(["You are a helpful assistant.", "You are a friendly assistant.", "You are Ember, a very small and friendly assistant.", "You are a helpful AI assistant.", "Answer briefly.", "Be kind and brief.", "You are a small language model."])
        if rng.random() < 0.25:
            fact = name_fact(self)
            text = rng.choice(["{t} The user's name is {v}.", "The user's name is {v}. {t}", "The user is called {v}. {t}"]).format(t=text, v=fact.value)
            self.facts[fact.key] = fact
        self.messages.append(("system", text))

    # One side of a turn

    def typed(self, value):
        """A value as this user types it."""
        return value.lower() if self.case == "lower" else value.upper() if self.case == "upper" else value

    def user(self, text, mark=None, **values):
        """What the user types for a line in the notation, with `mark` or nothing at the end. Values keep
        their spelling."""
        rng = self.rng
        text = expand(rng, text)
        if rng.random() < self.typos:
            parts = text.split(" ")
            at = rng.randrange(len(parts))
            parts[at] = slip(rng, parts[at])
            text = " ".join(parts)
        if rng.random() < 0.05:
            before = rng.choice(["So,", "So", "Well,", "Um,", "And", "Ok,", "Okay", "Oh,", "By the way,", "Ember,", "Hey,", "Hmm,", "Now", "Alright,", "Also,", "Btw", "Please,", "Cool,"])
            text = before + " " + (text if text[0] == "{" or text.startswith(("I ", "I'")) else text[0].lower() + text[1:])
        if rng.random() < 0.03:
            text += rng.choice([" btw", ", by the way", " please", " lol", ", you know", " :)", " haha", ", Ember", " ok", " now"])
        if self.short:
            text = re.sub(r"\b(What|what|I|That|that|Who|who|Don|don|name|How|how|You|you|It|it)'(s|m|t|re|ve)\b", r"\1\2", text)
        elif rng.random() < 0.1:
            text = text.replace("I am ", "I'm ").replace("What is ", "What's ")
        if self.case == "lower":
            text = text.lower()
        elif self.case == "upper":
            text = re.sub(r"\{\w+\}|.", lambda found: found.group(0) if len(found.group(0)) > 1 else found.group(0).upper(), text)
        elif text[0] != "{":
            text = text[0].upper() + text[1:]
        text = text.format(**values)
        if mark is None:
            mark = "?" if re.match(r"(?i)(what|who|where|when|which|how|why|do|does|did|can|could|are|is|will|shall|may|have|and my|and what|my name$|wha)\b", text.split(": ")[-1]) else "."
            if mark == "." and rng.random() < 0.15:
                mark = "!"
        if text[-1] not in "?!.,;:=" and rng.random() < self.stops:
            text += mark if rng.random() < 0.97 else mark * 2
        return text

    def turn(self, *pieces):
        """Adds one exchange made of one or more (user, assistant) pieces."""
        joined = []
        for piece in pieces[:-1]:
            typed = piece[0]
            joined.append(typed if typed[-1] in "?!.,;:" else typed + self.rng.choice([".", ",", "!", ".", "", " and", " and"] if self.stops < 1 else [".", ".", " and"]))
        last = pieces[-1][0]
        if joined and joined[-1].endswith(" and") and last.split(" ")[0] in ("What", "What's", "Which", "Who", "Where", "When", "How", "Do", "Tell", "My", "Can"):
            last = last[0].lower() + last[1:]
        joined.append(last)
        self.messages.append(("user", " ".join(joined)))
        self.messages.append(("assistant", " ".join(piece[1] for piece in pieces)))

    # Pieces

    def greeting(self):
        return self.user(HEY, "!"), "Hello!"

    def tell(self, fact=None, template=None):
        fact = fact or draw_fact(self)
        if fact.key in self.facts:
            return self.correct(fact)
        rng = self.rng
        fact.value = self.typed(fact.value)
        self.facts[fact.key] = fact
        said = self.user(template or rng.choice(fact.tell), v=fact.value)
        return said, self.acknowledge(fact)

    def acknowledge(self, fact):
        text = self.rng.choice(fact.ack)
        if text.startswith("{v}") and fact.key != "age":
            text = "Oh, " + text
        return text.format(v=fact.value)

    def ask(self, fact):
        """Asks for a fact that was told."""
        rng = self.rng
        pets = [other for other in self.facts.values() if other.kind == "pet"]
        if fact.kind == "pet" and len(pets) == 1 and rng.random() < 0.3:
            return self.user(rng.choice(fact.ask_pet)), fact.pet_answer.format(v=fact.value)
        if rng.random() < 0.25:
            asked = rng.choice(fact.ask_yes)
            return self.user(asked), ("No! " if "forg" in asked else "Yes! ") + fact.answer.format(v=fact.value)
        return self.user(rng.choice(fact.ask)), fact.answer.format(v=fact.value)

    def check(self, fact):
        """Is my name Ada?"""
        rng = self.rng
        if fact.kind in ("pet", "relation") and rng.random() < 0.4:
            return self.user("[Who is|Who's|And who is|Do you know] {v}", "?", v=fact.value), fact.answer.format(v=fact.value)
        value, right = fact.value, rng.random() < 0.5
        if not right:
            other = self.fresh(fact)
            if other is None:
                return self.ask(fact)
            value = self.typed(other.value)
            right = value.lower() == fact.value.lower()
        questions = {"name": ["Is my name {v}", "Am I {v}", "Am I called {v}", "My name is {v}, right"], "city": ["Do I live in {v}"], "origin": ["Am I from {v}"], "age": ["Am I {v} years old"]}
        if fact.key.startswith("favourite"):
            asked = [f"Is my {fact.key} {{v}}", f"Is {{v}} my {fact.key}"]
        elif fact.kind:
            asked = [f"Is my {fact.key.removesuffix(' name')} called {{v}}"]
        else:
            asked = questions.get(fact.key)
        if not asked:
            return self.ask(fact)
        return self.user(rng.choice(asked), "?", v=value), ("Yes! " if right else "No. ") + fact.answer.format(v=fact.value)

    def fresh(self, fact):
        """Another fact with the same key, or None."""
        makers = {"name": name_fact, "city": city_fact, "origin": origin_fact, "age": age_fact, "hobby": hobby_fact, "job": job_fact, "birthday": birthday_fact, "favourite colour": colour_fact}
        if fact.key in makers:
            return makers[fact.key](self)
        if fact.key.startswith("favourite"):
            return favourite_fact(self, fact.kind)
        for _ in range(60):
            other = named_fact(self, fact.kind == "pet") if fact.kind else like_fact(self) if "like" in fact.key else word_fact(self)
            if other.key == fact.key:
                return other
        return None

    def correct(self, fact):
        """Tells a known fact again; the newest value counts."""
        fact.value = self.typed(fact.value)
        self.facts.pop(fact.key, None)
        self.facts[fact.key] = fact
        said = self.user(self.rng.choice(fact.correct), v=fact.value)
        return said, self.rng.choice(["Okay! ", "Got it! "]) + fact.answer.format(v=fact.value)

    def mention(self):
        """I have a dog. - What is it called?"""
        fact = named_fact(self, pet=self.rng.random() < 0.8)
        if fact.key in self.facts or not fact.mention:
            return self.tell()
        self.open_ask = fact
        name = fact.key.removesuffix(" name")
        return self.user(self.rng.choice(fact.mention)), f"How nice! What is your {name} called?"

    def ask_unknown(self, fact=None):
        """Asks for a fact that was never told, often similar to one that was (a dog told, a cat asked for).
        """
        rng = self.rng
        if fact is None and self.facts and rng.random() < 0.4:
            near = rng.choice(list(self.facts.values()))
            if near.kind:
                fact = favourite_fact(self) if near.key.startswith("favourite") else named_fact(self, near.kind == "pet")
        for _ in range(20):
            fact = fact or draw_fact(self)
            if fact.key not in self.facts:
                break
            fact = None
        if fact is None:
            return self.small_talk()
        if fact.kind == "pet" and rng.random() < 0.4 and not any(other.kind == "pet" for other in self.facts.values()):
            asked = rng.choice(fact.ask_pet)
            return self.user(asked), "You haven't told me about a pet yet."
        reply = rng.choice(fact.unknown)
        if rng.random() < 0.25:
            asked = self.user(rng.choice(fact.ask_yes))
        else:
            asked = self.user(rng.choice(fact.ask))
        self.open_ask = fact if reply.endswith("?") and fact.bare else None
        return asked, reply

    def answer_open(self):
        """The user answers the assistant's question: "What is it?" - "Ada"."""
        fact, self.open_ask = self.open_ask, None
        return self.tell(fact, template=self.rng.choice(fact.bare))

    def recall_all(self):
        """What do you know about me?"""
        said = self.user("[What do you know about me|What do you remember about me|Tell me what you know about me|Tell me everything you know about me|What have I told you|What did I tell you about me|What did I tell you|Tell me about me|What do you remember]")
        told = list(self.facts.values())
        pets = [fact for fact in told if fact.kind == "pet"]
        if 0 < len(pets) < 4 and self.rng.random() < 0.3:
            return self.user("[What pets do I have|Which pets do I have|Who are my pets|What are my pets called|Tell me about my pets|What animals do I have]"), " ".join(fact.pet_answer.format(v=fact.value) for fact in pets)
        if not told:
            return said, "You haven't told me anything about you yet."
        if len(told) > 4:
            return self.small_talk()
        return said, " ".join(fact.answer.format(v=fact.value) for fact in told)

    def small_talk(self):
        said, replies = self.rng.choice(TALK)
        reply = self.rng.choice(replies)
        name = self.facts.get("name")
        reply = reply.replace("{name}", f", {name.value}" if name else "")
        return self.user(self.rng.choice(said)), reply

    def fact(self):
        question, answer = self.rng.choice(KNOWLEDGE)
        return self.user(self.politely(question)), answer

    def politely(self, question):
        """The question, sometimes after a few words of no importance."""
        before, question = expand(self.rng, KNOW), expand(self.rng, question)
        return f"{before} {question[0].lower()}{question[1:]}" if before and question[0] not in "{ABCD" else question

    def unknown(self):
        rng = self.rng
        question = expand(rng, rng.choice(UNKNOWN))
        word = syllables(rng, 2, 3)
        values = dict(
            far=rng.choice(FAR) if rng.random() < 0.5 else word.capitalize(),
            person=rng.choice(PEOPLE) if rng.random() < 0.5 else f"{self.rng.choice(NAMES)} {self.rng.choice(SURNAMES)}",
            matter=rng.choice(MATTERS), doing=rng.choice(DOINGS), word=word, year=rng.randint(1000, 2030), small=rng.randint(3, 99),
        )
        values = {key: self.typed(str(value)) for key, value in values.items()}
        return self.user(self.politely(question), "?", **values), rng.choice(UNKNOWN_ANSWERS)

    def statement(self):
        thing = self.rng.choice(THINGS)
        return self.user(self.rng.choice(STATEMENTS), thing=thing), self.rng.choice(STATEMENT_ANSWERS)

    def nonsense(self):
        rng = self.rng
        p = rng.random()
        if p < 0.2:
            return rng.choice(FOREIGN), NOT_ENGLISH[0]
        if p < 0.5:
            text = " ".join("".join(rng.choice("asdfghjklqwertyuiopzxcvbnm") for _ in range(rng.randint(2, 9))) for _ in range(rng.randint(1, 3)))
        elif p < 0.75:
            text = " ".join(syllables(rng) for _ in range(rng.randint(2, 5)))
        elif p < 0.85:
            text = rng.choice(["?", "??", "???", "...", "!", "!!!", ".", "-", "#", "@@@", "*", ":", ";;", "???!", "$%&", "/", "()", "_"])
        elif p < 0.92:
            text = rng.choice(["asdf", "qwerty", "asdfasdf", "blah blah", "bla bla bla", "aaaaa", "xyz", "abc", "zzz", "foo", "foo bar", "lorem ipsum", "jjjjjj", "hjkl", "blablabla", "mmmmm", "test test test"])
        else:
            text = "".join(rng.choice("0123456789") for _ in range(rng.randint(3, 9)))
        return text, rng.choice(NONSENSE_ANSWERS)

    def sum(self):
        """A small sum; a third of them in words."""
        rng = self.rng
        top = rng.choices([10, 20, 99], [42, 40, 18])[0]
        p = rng.random()
        if self.result is not None and rng.random() < 0.15:
            x, y = self.result, rng.randint(1, 10)
            if rng.random() < 0.6:
                self.result = x + y
                return self.user(f"[And|Now|Then|] [plus {y}|add {y}|add {y} more]"), f"{x} plus {y} is {x + y}."
            if x >= y:
                self.result = x - y
                return self.user(f"[And|Now|Then|] [minus {y}|take away {y}|subtract {y}]"), f"{x} minus {y} is {x - y}."
        x, y = rng.randint(0, top), rng.randint(0, top)
        if p < 0.12:
            x, y = rng.randint(0, 10), rng.randint(0, 10)
            sign, result, word = "times", x * y, ["[*|x|times]", "[times|multiplied by]"]
        elif p < 0.56:
            sign, result, word = "plus", x + y, ["+", "[plus|plus|and|added to]"]
        else:
            x, y = max(x, y), min(x, y)
            sign, result, word = "minus", x - y, ["-", "[minus|minus|take away|less]"]
        self.result = result
        answer = f"{x} {sign} {y} is {result}."
        if rng.random() < 0.1 and sign != "times":
            thing = rng.choice(["apples", "books", "sweets", "eggs", "coins", "balls", "pens", "cats", "cookies", "stones"])
            if sign == "plus":
                said = f"If I have {x} {thing} and [get|buy|find] {y} more, how many [{thing} |]do I have"
            else:
                said = f"If I have {x} {thing} and [lose|sell|give away|eat] {y}, how many [{thing} |]do I have [left|]"
            return self.user(said, "?"), answer
        left, right = str(x), str(y)
        if max(x, y) <= 20 and rng.random() < 0.3:
            left, right = NUMBER_WORDS[x], NUMBER_WORDS[y]
        elif rng.random() < 0.5:
            gap = rng.choice(["", " "])
            said = f"{left}{gap}{word[0]}{gap}{right}"
            said = rng.choice(["", "", "What is ", "How much is ", "What's ", "Calculate ", "Hey, what is "]) + said + rng.choice(["", "", " =", "=", "?"])
            return self.user(said, "?"), answer
        extra = {"plus": [f"Add {left} and {right}", f"What is the sum of {left} and {right}", f"Can you add {left} and {right}"], "minus": [f"[Take|Subtract] {right} from {left}"], "times": [f"Multiply {left} by {right}"]}[sign]
        asked = f"[What is|What's|How much is|Calculate|Can you tell me what is|Do you know what is|What do you get for|Please calculate|] {left} {word[1]} {right}"
        return self.user(rng.choice(extra) if rng.random() < 0.2 else asked, "?"), answer

    def number(self):
        """Counting, comparing, the next number, even or odd; sums that are too big."""
        rng = self.rng
        p = rng.random()
        if p < 0.3:
            n = rng.randint(1, 20) if rng.random() < 0.4 else rng.choice([3, 5, 5, 10, 10])
            shown = NUMBER_WORDS[n] if rng.random() < 0.5 else n
            return self.user(f"[Count to {shown}|Can you count to {shown}|Please count to {shown}|Count from [one|1] to {shown}|Count up to {shown}]"), ", ".join(str(i) for i in range(1, n + 1)) + "!"
        if p < 0.5:
            n, m = rng.sample(range(100 if rng.random() < 0.5 else 20), 2)
            word = rng.choice(["bigger", "smaller"])
            pick = max(n, m) if word == "bigger" else min(n, m)
            return self.user(f"[Which is {word}|What is {word}|Which number is {word}][,|:|] {n} or {m}", "?"), f"{pick} is {word} than {n + m - pick}."
        if p < 0.65:
            n = rng.randint(0, 98)
            return self.user(f"[What|Which] number comes after {n}", "?"), f"After {n} comes {n + 1}."
        if p < 0.8:
            n = rng.randint(0, 99)
            return self.user(f"Is {n} [even or odd|odd or even|an even number|an odd number]", "?"), f"{n} is {'odd' if n % 2 else 'even'}."
        x, y = rng.randint(100, 99999), rng.randint(2, 9999)
        return self.user(f"[What is|How much is|What's|Calculate|] {x}[ + |+| plus | - | minus | * | times |*]{y}", "?"), "That sum is too big for me. Try smaller numbers!"

    def task(self):
        """Jokes, riddles, stories, poems, saying and repeating."""
        rng = self.rng
        p = rng.random()
        if self.latest and rng.random() < 0.4:
            p = 0.0 if self.latest == "joke" else 0.3
        again = "[Another one|One more|Tell me another one|Again|Another|More|One more please|Another one please]"
        if p < 0.25:
            index = self.jokes if self.latest == "joke" else 0
            self.latest = "joke"
            said = "[Tell me a joke|Tell a joke|Do you know a joke|A joke please|Joke|Can you tell me a joke|Make me laugh|Tell me something funny|I want to hear a joke|Say something funny|Know any jokes]"
            if index:
                said = "[Another one|Another joke|One more|Tell me another one|Tell me another joke|Again|Another|More jokes|Do you know another joke|Next joke|Tell me a different joke]"
            first = self.joke_at if self.jokes else rng.randrange(len(JOKES))
            self.jokes += 1
            self.joke_at = (first + 1) % len(JOKES)
            return self.user(said), JOKES[first]
        if p < 0.45:
            self.riddle, latest, self.latest = rng.choice([riddle for riddle in RIDDLES if riddle != self.past_riddle]), self.latest, "riddle"
            self.past_riddle = self.riddle
            return self.user(again if latest == "riddle" and rng.random() < 0.6 else "[Tell me a riddle|Ask me a riddle|Do you know a riddle|A riddle please|Give me a riddle|Riddle|I want a riddle|Can you tell me a riddle|Another riddle]"), "Here is a riddle: " + self.riddle[0]
        if p < 0.55:
            made = rng.random() < 0.6
            thing = rng.choice(THINGS + FAVOURITES["animal"] + PETS) if made else rng.choice(["fox", "mouse", "owl", "bear"])
            said = f"[Tell me a story about|A story about|Tell a story about|Can you tell me a story about|Write a story about] {a(thing)}" if made else "[Tell me a story|Tell a story|A story please|Can you tell me a story|I want a story|Once upon a time|Tell me a short story]"
            return self.user(said), rng.choice(STORIES).format(x=thing)
        if p < 0.65:
            return self.user("[Tell me a poem|Write a poem|Do you know a poem|A poem please|Write me a poem|Can you write a poem|Say a poem|Make a rhyme|Poem]"), rng.choice(POEMS)
        if p < 0.85:
            name = self.typed(self.words.name())
            who = rng.choice(["", "", "my friend ", "my mother ", "my sister ", "my brother "])
            said, reply = rng.choice([("Say hello to", "Hello, {v}!"), ("Say hi to", "Hello, {v}!"), ("Say goodbye to", "Goodbye, {v}!"), ("Say good night to", "Good night, {v}!"), ("Please greet", "Hello, {v}!"), ("Say happy birthday to", "Happy birthday, {v}!"), ("Wish a happy birthday to", "Happy birthday, {v}!")])
            return self.user(f"[Please |Can you |]{said} {who}{{v}}", v=name), reply.format(v=name)
        phrase = " ".join(rng.choice(THINGS + COLOURS + PETS + [syllables(rng)] * 60) for _ in range(rng.randint(1, 4)))
        return self.user("[Say|Repeat|Repeat after me:|Please say|Can you say|Say the [word|words]|Repeat the [word|words]|Please repeat:|Write|Type] {v}", v=phrase), f"Okay: {phrase}"

    def guess(self):
        """The user's guess at the riddle just asked."""
        rng, (_, answer, key) = self.rng, self.riddle
        self.riddle = None
        p = rng.random()
        if p < 0.35:
            right = rng.choice([key, answer])
            return self.user(f"[Is it |It's |It is |I think it's |A: |]{right}"), f"Yes, that's right! It is {answer}."
        if p < 0.6:
            wrong = rng.choice([thing for thing in THINGS + PETS if thing != key])
            return self.user(f"[Is it |It's |I think it's |Maybe |]{a(wrong)}"), f"Not quite. It is {answer}."
        return self.user("[I don't know|What is it|What|Tell me|I give up|No idea|What's the answer|Idk|The answer please|What is the answer|Tell me the answer|Hmm, I don't know|?]"), f"It is {answer}."

    def echo(self):
        """What did I just say?"""
        said = next((text for role, text in reversed(self.messages) if role == "user"), None)
        if said is None or len(said) > 60:
            return self.small_talk()
        return self.user("[What did I just say|What did I say|What was my last message|Repeat what I said|What did I just write|What did I just ask|Repeat my last message|What was my last question]"), f"You said: {said}"

    def spare(self):
        """A piece unrelated to the user's facts."""
        pick = self.rng.random()
        for share, piece in ((0.45, self.small_talk), (0.62, self.sum), (0.8, self.fact), (0.86, self.unknown), (0.9, self.statement), (0.94, self.task), (0.97, self.nonsense)):
            if pick < share:
                return piece()
        return self.number()

    # Whole dialogues

    def distract(self, turns):
        """Turns in between; a riddle is followed by a guess."""
        for _ in range(turns):
            self.turn(self.guess() if self.riddle else self.spare())

    def move(self):
        """One turn of a mixed chat."""
        rng, told = self.rng, list(self.facts.values())
        if self.riddle and rng.random() < 0.9:
            return self.turn(self.guess())
        self.riddle = None
        if self.open_ask and rng.random() < 0.6:
            return self.turn(self.answer_open())
        self.open_ask = None
        p = rng.random()
        if p < 0.20:
            if rng.random() < 0.06:
                return self.turn(self.mention())
            pieces = [self.tell()]
            if rng.random() < 0.25:
                pieces.append(self.tell())
            newest = list(self.facts.values())[-1].key if self.facts else None
            if newest in YOURS and len(pieces) == 1 and rng.random() < 0.15:
                pieces.append((self.user("[What's yours|And you|What about you|And yours|What is yours|How about you]", "?"), YOURS[newest]))
            if rng.random() < 0.12:
                pieces.insert(0, self.greeting())
            if rng.random() < 0.08:
                pieces.append(self.spare_question())
            return self.turn(*pieces)
        if p < 0.42 and told:
            # The oldest fact is asked for more often than by chance, because long distances are hardest.
            fact = told[0] if rng.random() < 0.3 else rng.choice(told)
            piece = self.check(fact) if rng.random() < 0.1 else self.ask(fact)
            if rng.random() < 0.08 and len(told) > 1:
                return self.turn(piece, self.ask(rng.choice([other for other in told if other is not fact])))
            return self.turn(piece)
        if p < 0.47:
            return self.turn(self.ask_unknown())
        if p < 0.51 and told:
            other = self.fresh(rng.choice(told))
            if other:
                return self.turn(self.correct(other))
        if p < 0.53:
            return self.turn(self.recall_all())
        if p < 0.54:
            return self.turn(self.echo())
        pieces = [self.small_talk() if p < 0.7 else self.sum() if p < 0.79 else self.fact() if p < 0.88 else self.unknown() if p < 0.91 else self.nonsense() if p < 0.93 else self.statement() if p < 0.945 else self.task() if p < 0.985 else self.number()]
        if rng.random() < 0.06 and not self.riddle:
            pieces.insert(0, self.greeting())
        return self.turn(*pieces)

    def spare_question(self):
        return self.rng.choice([self.sum, self.fact])()


def dialogue(rng, held_out=False):
    """One dialogue: mixed, a memory drill, small talk, a quiz, or a long one."""
    chat = Chat(rng, held_out)
    p = rng.random()
    if p < 0.38:  # told, turns in between, asked; several facts
        for _ in range(rng.choice([1, 1, 1, 2, 2, 3])):
            piece = chat.tell()
            if rng.random() < 0.15:
                chat.turn(piece, chat.tell())
            elif rng.random() < 0.2:
                chat.turn(chat.greeting(), piece)
            else:
                chat.turn(piece)
            chat.distract(rng.choice([0, 0, 1, 2]))
        chat.distract(rng.choice([0, 0, 1, 2, 3, 4, 6]))
        told = list(chat.facts.values())
        rng.shuffle(told)
        for fact in told:
            chat.turn(chat.ask(fact))
        if rng.random() < 0.3:
            chat.turn(chat.ask_unknown())
    elif p < 0.43:
        chat.distract(rng.randint(1, 6))
    elif p < 0.63:
        for _ in range(rng.randint(2, 9)):
            chat.turn(rng.choice([chat.sum] * 6 + [chat.fact, chat.fact, chat.fact, chat.unknown, chat.number])())
    else:
        if rng.random() < 0.4:
            chat.turn(chat.small_talk() if rng.random() < 0.3 else (chat.user(HEY, "!"), rng.choice(TALK[0][1])))
        for _ in range(rng.randint(18, 34) if p > 0.97 else rng.randint(1, 10)):
            if rng.random() < 0.03:
                chat.settle()
            chat.move()
    return chat.messages


def document(messages):
    """A dialogue as (text, loss weight) pieces: exactly the chat template's text. Only the assistant's text
    has weight."""
    pieces, text = [], ""
    for role, content in messages:
        text += f"<|im_start|>{role}\n"
        if role == "assistant":
            pieces += [(text, 0.0), (content + "<|im_end|>", 1.0)]
            text = "\n"
        else:
            text += f"{content}<|im_end|>\n"
    return pieces


def clean(messages):
    """Whether the dialogue contains nothing held out."""
    text = " ".join(content for _, content in messages).lower()
    return not any(word in RESERVED for word in re.findall(r"[^\W\d_]+", text)) and not any(phrase in text for phrase in RESERVED if " " in phrase)


def documents(seed):
    """Endless training dialogues."""
    rng = random.Random(seed)
    while True:
        messages = dialogue(rng)
        if clean(messages):
            yield document(messages)


def held_out(count):
    """Dialogues with names, colours and pets that no training dialogue has."""
    rng = random.Random("held out")
    return [document(dialogue(rng, held_out=True)) for _ in range(count)]


def main():
    """Prints a few dialogues."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=5)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    for _ in range(args.count):
        print("\n".join(f"{role:9} {content}" for role, content in dialogue(rng)), end="\n\n")


if __name__ == "__main__":
    main()
