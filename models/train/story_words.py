"""The words of the story grammar: who, where, what, and what goes with what.

Many words in each list make the model learn to carry a word of the opening through a story, whatever the word is.
"""

GIRLS = """Lily Mia Anna Sara Emma Lucy Ella Zoe Ruby Nina Rosa Amy Molly Sue Jane Kate Ivy Clara Alice Maya Tina Daisy Hannah
Grace Eva Nora Rose Bella Sophie Lola Maria Kim Mei Aisha Yuki Priya Olga Ines Freya Leila Amara Greta Heidi Penny Betty Jenny Wendy
Fatima Ling Ada Elsa Olivia Chloe Julia Laura Mary Sally Polly Hazel Stella Luna Dora Tess Abby Carla Wren Marta""".split()
BOYS = """Tom Tim Ben Max Sam Jack Leo Jim Bob Dan Nick Will Finn Oscar Adam Luke Noah Peter Paul Toby Charlie Henry George Alex
Joe Mark Mike Billy Johnny Eric Hugo Felix Omar Ali Kenji Raj Ivan Carlos Diego Pedro Lars Otto Emil Theo Jonas Milo Owen Harry Jake Ethan
David Daniel James John Andy Fred Ned Ravi Chen Bo Kofi Arlo Simon Martin Liam Sven Timmy Tommy Jamie""".split()
PETS = """Pip Spot Fluffy Coco Bingo Patch Pepper Sunny Ginger Lucky Rusty Misty Whiskers Nibbles Bubbles Fuzzy Tiny Hazel Dot Bo Kiki
Momo Tuffy Snowy Smokey Biscuit Peanut Honey Berry Clover Maple Acorn Pebble Sandy Bramble Willow Ziggy Mango Olive Socks Ruffles Nutmeg Sprout
Twig Fern Ember Cinder Spark Shadow Breezy Waffles Pickle Button Muffin Cookie Noodle Sky Pumpkin Bean Pippin Tango""".split()
# Invented names are put together from these.
SYLLABLES = """ba be bo da do du fa fi go ka ki ko la le li lo lu ma mi mo na ni no pa pi po ra ri ro sa so ta ti to va vi wa za ze zo
bri dra fli glo kri plu quo ska tra zin mar lin bel tor fen nor wim zak""".split()

# noun: how it goes, where it lives ("land", "air", "water"), home
ANIMALS = {
    "fox": "trotted land den", "rabbit": "hopped land burrow", "bunny": "hopped land burrow", "bear": "walked land cave",
    "mouse": "scurried land hole", "squirrel": "scampered land tree", "cat": "walked land house", "kitten": "ran land house",
    "dog": "ran land house", "puppy": "ran land house", "frog": "hopped land pond", "toad": "hopped land garden", "hedgehog": "walked land bush",
    "deer": "walked land forest", "pig": "trotted land farm", "piglet": "trotted land farm", "cow": "walked land barn", "lamb": "skipped land farm",
    "sheep": "walked land farm", "horse": "trotted land stable", "pony": "trotted land stable", "donkey": "walked land barn", "goat": "climbed land hill",
    "monkey": "climbed land tree", "elephant": "walked land jungle", "lion": "walked land cave", "tiger": "walked land jungle", "giraffe": "walked land valley",
    "zebra": "trotted land valley", "panda": "walked land forest", "koala": "climbed land tree", "kangaroo": "hopped land valley", "mole": "crawled land tunnel",
    "badger": "walked land burrow", "beaver": "walked land river", "raccoon": "walked land tree", "skunk": "walked land forest", "wolf": "ran land den",
    "hippo": "walked land river", "camel": "walked land desert", "snail": "crawled land garden", "ant": "marched land hill", "ladybug": "crawled land garden",
    "caterpillar": "crawled land garden", "spider": "crawled land web", "lizard": "crawled land desert", "hamster": "ran land house", "chipmunk": "scampered land tree",
    "bird": "flew air nest", "owl": "flew air tree", "duck": "waddled air pond", "duckling": "waddled air pond", "chick": "walked air farm",
    "hen": "walked air farm", "parrot": "flew air jungle", "crow": "flew air nest", "robin": "flew air nest", "penguin": "waddled air island",
    "swan": "swam air lake", "bee": "flew air hive", "butterfly": "flew air meadow", "bat": "flew air cave", "sparrow": "flew air nest", "goose": "waddled air farm",
    "fish": "swam water sea", "crab": "crawled water beach", "turtle": "swam water sea", "dolphin": "swam water sea", "whale": "swam water sea",
    "seal": "swam water sea", "octopus": "swam water sea", "otter": "swam water river", "starfish": "crawled water sea", "shark": "swam water sea", "seahorse": "swam water sea",
}
CREATURES = {
    "dragon": "flew air cave", "robot": "walked land house", "fairy": "flew air flower", "giant": "walked land mountain", "elf": "walked land forest",
    "gnome": "walked land garden", "unicorn": "trotted land meadow", "monster": "walked land cave", "dinosaur": "walked land valley", "witch": "flew air cottage",
    "wizard": "walked land tower", "ghost": "floated air castle", "mermaid": "swam water sea", "snowman": "walked land garden", "princess": "walked land castle",
    "prince": "walked land castle", "king": "walked land castle", "queen": "walked land castle", "knight": "rode land castle", "pirate": "sailed land island",
    "troll": "walked land bridge", "astronaut": "walked land moon",
}
GROWN = {
    "farmer": "walked land farm", "baker": "walked land village", "sailor": "walked land harbor", "gardener": "walked land garden", "painter": "walked land city",
    "teacher": "walked land school", "fisherman": "walked land beach", "king": "walked land castle", "shoemaker": "walked land village", "old man": "walked land cottage",
    "old woman": "walked land cottage", "clown": "walked land circus", "singer": "walked land city", "tailor": "walked land village", "shepherd": "walked land hill",
}
WOMEN, MEN = {"witch", "princess", "queen", "fairy", "mermaid", "hen", "cow", "old woman"}, {"king", "prince", "knight", "snowman", "wizard", "old man", "fisherman"}

# Homes to live in; the others are a house, or a cave in the water.
HOMES = "den burrow cave hole tree house barn stable nest hive tunnel cottage castle tower".split()

# place: the preposition, then where things hide there
PLACES = {
    "forest": "in;behind a tall tree;under a bush;beside the old oak;in a hollow log;under the leaves",
    "woods": "in;behind a tree;under a bush;in a hollow tree;on a soft bed of moss",
    "park": "at;under the bench;behind the slide;near the pond;next to the swings;under a big tree",
    "garden": "in;behind the roses;under a leaf;between the flowers;near the gate;by the stone wall",
    "beach": "at;behind a rock;in the sand;next to a shell;near the water;by an old boat",
    "lake": "at;in the tall grass;by the water;under the bridge;behind a stone;near the reeds",
    "river": "at;in the reeds;by the bridge;behind a big stone;under a willow tree;near the water",
    "pond": "at;in the reeds;on a lily pad;behind a stone;near the water;in the wet grass",
    "hill": "on;behind a rock;in the tall grass;under a lonely tree;beside a bush;near the top",
    "mountain": "on;behind a rock;in a small cave;under a pine tree;beside the path;in the snow",
    "meadow": "in;in the tall grass;between the flowers;under a tree;behind a bush;near a little stream",
    "farm": "at;in the barn;behind the hay;under the cart;near the well;by the fence",
    "village": "in;behind the bakery;near the well;under a cart;beside the church;by the gate",
    "town": "in;behind the shop;under a bench;near the fountain;by the clock;on the stairs",
    "city": "in;behind a tall house;under a bench;near the fountain;on a step;by the station",
    "market": "at;under a table;behind a basket;between two boxes;near the apples;by the bread stand",
    "cave": "in;behind a rock;in a dark corner;next to a stone;under the ice;by the entrance",
    "jungle": "in;under a big leaf;behind a vine;near the waterfall;beside a stone;in a banana tree",
    "field": "in;in the tall grass;behind a bush;under a tree;near the fence;next to a haystack",
    "school": "at;under a desk;behind the door;on the shelf;near the window;in a box",
    "castle": "in;behind a curtain;under the stairs;in the tower;near the gate;beside the throne",
    "zoo": "at;near the monkeys;behind the fence;under a bench;by the pond;next to the lions",
    "playground": "at;under the slide;in the sand box;behind the swings;near the gate;next to the seesaw",
    "island": "on;under a palm tree;behind a rock;in the sand;near the water;in a small cave",
    "valley": "in;behind a rock;near the stream;under a tree;in the grass;beside the path",
    "desert": "in;behind a rock;in the sand;next to a cactus;near the water hole;under a stone",
    "orchard": "in;under an apple tree;behind a basket;in the grass;near the ladder;by the fence",
    "library": "in;behind a book;under a chair;on a high shelf;near the window;between two books",
    "circus": "at;behind the tent;under a seat;near the elephants;in a box;by the big drum",
    "harbor": "at;behind a barrel;in a boat;under a net;near the ships;beside a rope",
    "moon": "on;behind a rock;in a deep hole;under the dust;next to the ship;near a shiny stone",
    "barn": "in;behind the hay;under a bucket;near the door;beside the cart;in a dark corner",
    "house": "in;under the bed;behind the sofa;in the kitchen;on the shelf;under the table",
    "snow": "in;behind a tree;under the snow;near the path;beside a rock;next to the fence",
}  # fmt: skip
TOWNS = "farm village town city market school castle zoo playground library circus harbor barn house moon".split()
UNIQUE = ["moon", "snow", "sea", "ocean"]  # there is only one
WATER_PLACES = {
    "sea": "in;behind a rock;under the seaweed;inside a big shell;on the sand;near an old ship",
    "ocean": "in;behind a rock;under the seaweed;in a dark hole;on the sand;near the coral",
    "lake": "in;behind a stone;under a water plant;on the mud;near a sunken log;between two rocks",
    "river": "in;behind a stone;under a root;on the sand;near a fallen tree;between two rocks",
    "reef": "in;behind the coral;under a rock;inside a big shell;on the sand;between two sponges",
    "bay": "in;behind a rock;under the seaweed;on the sand;near the boats;between two stones",
}

COLORS = "red blue green yellow white black brown pink purple orange golden silver".split()
# object: words that go before it; the first letter of the last field: t toy, w to wear, s small treasure, u
# useful thing, g big toy to ride
OBJECTS = {
    "ball": "big small round bouncy;t", "kite": "big long new pretty;t", "doll": "pretty little soft old;t", "teddy bear": "soft old fluffy little;t",
    "toy car": "fast little shiny new;t", "toy boat": "little wooden small new;t", "toy train": "little long shiny wooden;t", "drum": "loud big little new;t",
    "balloon": "big round shiny pretty;t", "puzzle": "big new hard old;t", "toy plane": "little fast new paper;t", "yo-yo": "little round new shiny;t",
    "robot toy": "little shiny new funny;t", "jump rope": "long new old;t", "puppet": "funny little soft old;t", "spinning top": "little wooden fast shiny;t", "toy truck": "big little strong new;t",
    "hat": "funny big warm tall old new;w", "scarf": "warm long soft woolly;w", "coat": "warm long new thick;w", "crown": "shiny paper little heavy;w", "ring": "shiny little pretty old;s",
    "necklace": "pretty shiny long little;w", "cape": "long soft new;w", "ribbon": "long pretty silky shiny;w", "bow tie": "funny little new;w", "sweater": "warm soft woolly old;w",
    "stone": "shiny smooth round pretty magic;s", "shell": "pretty shiny big little pink;s", "key": "old shiny little rusty;s", "coin": "shiny old round;s", "feather": "soft long pretty little;s",
    "button": "shiny round little big;s", "marble": "shiny round little glass;s", "bell": "little loud shiny old;s", "acorn": "round big little shiny;s", "pearl": "round shiny pretty tiny;s",
    "flower": "pretty big little lovely;s", "seed": "tiny round strange little;s", "egg": "big strange round spotted;s", "leaf": "big pretty dry shiny;s", "treasure map": "old torn secret;s", "star": "tiny shiny bright;s",
    "book": "big old thick new;u", "flute": "little wooden old;u", "lantern": "bright little old;u", "blanket": "soft warm old fluffy;u", "pillow": "soft big fluffy;u", "cup": "little big pretty tiny;u",
    "spoon": "big wooden little shiny;u", "umbrella": "big old little new;u", "basket": "big little old round;u", "box": "big little old strange wooden;u", "bag": "big old heavy little;u", "lamp": "bright little old magic;u",
    "rope": "long strong old;u", "bucket": "big little old;u", "paintbrush": "long little old new;u", "camera": "new little old;u", "clock": "old big little loud;u", "whistle": "loud little shiny new;u",
    "mirror": "little old shiny;u", "picture": "pretty little old;u", "guitar": "old little new;u", "pencil": "long short new;u", "letter": "long secret little;u", "ladder": "long old tall;u", "shovel": "little big old;u",
    "mitten": "warm little woolly;w", "sock": "warm long little;w", "shoe": "new little shiny old;w", "cap": "new big little;w", "glove": "warm little;w", "watch": "new little shiny old;w",
    "rubber duck": "little big;t", "toy horse": "little wooden;t", "toy dinosaur": "big little scary;t", "paper boat": "little big;t", "wooden sword": "long little;t", "toy rabbit": "soft little fluffy;t",
    "crayon": "new short;u", "candle": "long little;u", "jar": "big empty glass;u", "hammer": "little heavy;u", "chair": "little old wooden;u", "violin": "little old;u", "trumpet": "loud shiny;u", "diamond": "shiny little big;s",
    "bike": "fast new little shiny;g", "scooter": "fast new little shiny;g", "wagon": "big old little wooden;g", "sled": "fast old long wooden;g", "boat": "little old wooden strong;g", "skateboard": "fast new little;g",
}  # fmt: skip
WATER_OBJECTS = ["shell", "pearl", "stone", "coin", "ring", "bell", "key", "ball", "crown", "necklace", "marble", "treasure map"]

FOODS = """apple:an;cake:a;cookie:a;pie:a;banana:a;carrot:a;sandwich:a;pear:a;orange:an;muffin:a;peach:a;pancake:a;bun:a;nut:a;strawberry:a;cupcake:a;piece of bread:a;
bowl of soup:a;jar of honey:a;piece of cheese:a;ice cream:an;melon:a;plum:a;donut:a;bag of popcorn:a;lollipop:a;slice of pizza:a;bowl of berries:a;corn cob:a;chocolate bar:a""".replace("\n", "")
FOODS = [food.split(":")[0] for food in FOODS.split(";")]
WATER_FOODS = ["sea berry", "bowl of seaweed", "piece of seaweed", "sea apple", "seaweed cake", "jar of sea jam"]
DISHES = ["cake", "apple pie", "bread", "soup", "pizza", "honey cake", "carrot cake", "berry pie", "chocolate cake", "pumpkin pie", "banana bread", "vegetable soup", "birthday cake", "lemon cake", "fruit salad"]

FAVORITES = "honey,cake,soup,bread,carrots,berries,cheese,nuts,apples,cookies,pancakes,fish,bananas,grass,jam".split(",")

SIZES = "little small tiny big young old tall fat".split()
TRAITS = "happy kind brave shy curious clever funny gentle quiet friendly playful lazy silly grumpy lonely busy proud careful cheerful wise".split()
GOOD = ["kind", "brave", "clever", "gentle", "friendly", "helpful", "honest", "careful"]
ACTIVITIES = """playing;singing;dancing;reading;painting;swimming;climbing trees;telling jokes;looking at the stars;jumping;running fast;making cakes;picking flowers;
building things;collecting stones;watching the clouds;playing games;helping others;drawing pictures;playing outside;listening to stories;playing hide and seek;eating sweet things;
exploring;making new friends;playing in the mud;counting things;sleeping in the sun;riding on the swing;asking questions;looking for treasure;playing music""".replace("\n", "").split(";")
SKILLS = """swim;fly a kite;whistle;dance;ride a bike;sing;draw a picture;jump rope;climb a tall tree;skate;read;read a whole book;play the flute;juggle;tie a bow;bake bread;
count to one hundred;paint a rainbow;write a letter;play the drum;do a cartwheel;jump very high;run fast;catch a ball;swing very high;hop on one foot;stand on one leg;make a snowman;
cook;tell stories;ski;row a boat;knit a scarf;play the guitar;do magic""".replace("\n", "").split(";")

FEARS = """the dark;thunder;deep water;big dogs;high places;loud noises;the wind;shadows;spiders;monsters;the old bridge;the big slide;strangers;being alone;bees;the doctor""".replace("\n", "").split(";")

WEATHERS = {
    "sunny": "The sun was shining;The sun was bright and warm;The sky was blue;It was a sunny day;It was a bright, sunny day",
    "rainy": "It was raining;Rain fell from the gray sky;It was a rainy day;It was wet outside",
    "windy": "The wind was strong;It was a windy day;The wind blew through the trees",
    "snowy": "Snow was falling;It was a cold, snowy day;Everything was white with snow",
    "cold": "It was very cold;It was a cold day;It was a cold winter morning",
    "warm": "It was warm;It was a warm day;It was a warm summer day;The air was warm and soft",
    "cloudy": "The sky was gray;It was a cloudy day;Big clouds were in the sky",
    "foggy": "It was foggy;The fog was thick;It was a gray, foggy morning",
}


def an(phrase):
    """The phrase with its article."""
    vowel = phrase[0] in "aeiou" and not phrase.startswith(("uni", "one", "use"))
    return ("an " if vowel else "a ") + phrase
