"""Everything that a tiny demo model does not know, and says so.

The questions imitate what people ask of large models, and some sound like questions on
modelpress without being any. Some templates and some fillers are held out of training.
"""

import random

from .exchanges import Exchange, Keywords, Split
from .expansion import expand
from .phrasings import GLUE, OPENERS, restyle

FILLERS: dict[str, tuple[str, ...]] = {
    "country": (
        "France", "Germany", "Italy", "Spain", "Japan", "China", "India", "Brazil", "Canada",
        "Egypt", "Kenya", "Norway", "Sweden", "Poland", "Greece", "Turkey", "Peru", "Chile",
        "Mexico", "Australia", "Iceland", "Portugal", "Austria", "Vietnam", "Morocco", "Cuba",
        "Finland", "Ireland", "Nigeria", "Thailand", "Hungary", "Belgium", "Nepal", "Argentina",
    ),
    "city": (
        "Paris", "London", "Berlin", "Rome", "Madrid", "Tokyo", "New York", "Vienna", "Prague",
        "Moscow", "Sydney", "Toronto", "Chicago", "Lisbon", "Athens", "Cairo", "Boston", "Delhi",
        "Munich", "Hamburg", "Seoul", "Dublin", "Zurich", "Amsterdam", "Venice", "Barcelona",
    ),
    "person": (
        "Albert Einstein", "Marie Curie", "Napoleon", "Shakespeare", "Mozart", "Beethoven",
        "Taylor Swift", "Elvis Presley", "Cleopatra", "Isaac Newton", "Ada Lovelace", "Picasso",
        "Leonardo da Vinci", "Barack Obama", "Lionel Messi", "Madonna", "Charles Darwin", "Gandhi",
        "Aristotle", "Plato", "Julius Caesar", "Alan Turing", "Galileo", "Michael Jackson",
        "Roger Federer", "Frida Kahlo", "Tolstoy", "Nikola Tesla", "Elon Musk", "the pope",
    ),
    "work": (
        "Hamlet", "Faust", "Star Wars", "Harry Potter", "the Mona Lisa", "the Bible", "Titanic",
        "Moby Dick", "Don Quixote", "the Odyssey", "The Matrix", "War and Peace", "Carmen",
        "the Lord of the Rings", "Casablanca", "the Magic Flute", "Game of Thrones", "Frozen",
    ),
    "illness": (
        "a headache", "a cold", "the flu", "a fever", "back pain", "asthma", "diabetes", "a rash",
        "a cough", "insomnia", "a sore throat", "an allergy", "stomach ache", "migraine",
        "high blood pressure", "a broken arm", "tooth ache", "anxiety",
    ),
    "dish": (
        "pasta", "pizza", "bread", "a cake", "soup", "rice", "an omelette", "pancakes", "sushi",
        "curry", "lasagne", "a salad", "risotto", "cookies", "goulash", "apple pie", "tacos",
    ),
    "code": (
        "a web scraper", "quicksort", "a linked list", "a binary search", "a regular expression",
        "an sql query", "a python script", "a bash script", "a rust program", "a react component",
        "a unit test", "a java class", "a dockerfile", "a c++ template", "a todo app",
        "a snake game",
        "a hash table", "a sorting function",
    ),
    "software": (
        "Photoshop", "Excel", "Word", "Docker", "Kubernetes", "Linux", "Windows", "git", "PyTorch",
        "TensorFlow", "Postgres", "Redis", "React", "Django", "Blender", "Figma", "Slack", "vim",
        "Emacs", "nginx", "MySQL", "Jenkins", "Unity", "WordPress", "CUDA", "numpy", "pandas",
    ),
    "science": (
        "gravity", "photosynthesis", "quantum mechanics", "relativity", "evolution", "black holes",
        "DNA", "electricity", "magnetism", "inflation", "democracy", "the big bang", "vaccines",
        "plate tectonics", "entropy", "blockchain", "atoms", "the water cycle", "earthquakes",
        "the immune system", "rainbows", "lightning", "fractals", "game theory", "philosophy",
        "capitalism", "the roman empire", "world war two", "the french revolution", "dinosaurs",
        "volcanoes", "the moon landing", "climate change", "nuclear fusion", "astrology",
    ),
    "thing": (
        "a car", "a phone", "a bike", "a house", "a laptop", "a camera", "a guitar", "a boat",
        "shoes", "a sofa", "a watch", "headphones", "a fridge", "an umbrella", "a tent", "a drone",
    ),
    "animal": (
        "dog", "cat", "horse", "whale", "elephant", "snake", "spider", "parrot", "shark", "bee",
        "giraffe", "hamster", "octopus", "penguin", "cheetah", "dolphin", "rabbit", "wolf",
    ),
    "language": (
        "French", "German", "Spanish", "Italian", "Chinese", "Japanese", "Latin", "Russian",
        "Arabic", "Polish", "Greek", "Hindi", "Turkish", "Dutch", "Swedish", "Korean",
    ),
    "phrase": (
        "good morning", "thank you", "i love you", "the house is red", "where is the station",
        "how much is this", "see you tomorrow", "the weather is nice", "cheese", "water",
    ),
    "team": (
        "the world cup", "the election", "the super bowl", "the champions league", "the oscars",
        "the tour de france", "wimbledon", "the olympic games", "the nobel prize", "the lottery",
    ),
    "topic": (
        "love", "autumn", "the sea", "my boss", "time", "friendship", "football", "the moon",
        "coffee", "trees", "my cat", "summer", "work", "dreams", "birthdays", "the city",
    ),
}
ASKS = (
    "what is the capital of {country}", "(which|what) city is the capital of {country}",
    "capital of {country}", "how many people live in {country}", "where is {country}",
    "(what|which) language do they speak in {country}", "who is the president of {country}",
    "what is the population of {city}", "how far is it from {city} to {city}",
    "what (should|can) i (see|visit|do) in {city}", "is {city} worth a visit",
    "what is the weather [like] in {city}", "will it rain (tomorrow|today|in {city})",
    "book [me] a (flight|hotel) (to|in) {city}", "a good restaurant in {city}",
    "what time is it in {city}", "tell me about {country}", "plan a trip to {country}",
    "who (is|was) {person}", "when was {person} born", "how old is {person}",
    "tell me about {person}",
    "where (does|did) {person} live", "what did {person} (do|say|invent|write)",
    "is {person} still alive", "do you know {person}", "what is {person} famous for",
    "who (wrote|made|painted|directed) {work}", "what is {work} about", "summarize {work}",
    "when was {work} made", "have you (read|seen) {work}", "how does {work} end",
    "what helps against {illness}", "i have {illness}", "how do i (treat|cure) {illness}",
    "what (causes|is) {illness}", "which (pill|medicine) should i take for {illness}",
    "is {illness} dangerous", "should i see a doctor for {illness}",
    "how do i (cook|make|bake|prepare) {dish}", "(give me|what is) a recipe for {dish}",
    "how long do i cook {dish}", "how many calories does {dish} have", "recipe for {dish}",
    "write {code}", "(write|code|program) {code} for me", "how do i write {code}",
    "(can|could) you write {code}", "show me {code}", "implement {code} in (python|java|c|go|rust)",
    "what is {software}", "how do i (install|use|update|uninstall) {software}",
    "is {software} (good|free|better than {software})", "{software} tutorial",
    "who (made|develops) {software}", "how does {software} work", "explain {software}",
    "my {software} does not (start|work)", "what is the latest version of {software}",
    "what is {science}", "explain {science}", "how does {science} work", "tell me about {science}",
    "why is there {science}", "write an essay (on|about) {science}", "who discovered {science}",
    "give me a summary of {science}", "can you teach me {science}",
    "what do you think about {science}",
    "which {thing} should i buy", "how much (is|does) {thing} [cost]", "where can i buy {thing}",
    "how do i repair {thing}", "how does {thing} work", "is {thing} a good gift",
    "recommend {thing}",
    "how long does a {animal} live", "what does a {animal} eat", "how fast is a {animal}",
    "can a {animal} swim", "how do i train a {animal}", "how many legs does a {animal} have",
    "how (big|heavy) is a {animal}", "is a {animal} a mammal",
    "what is the latin name of the {animal}",
    "translate {phrase} (to|into) {language}", "how do you say {phrase} in {language}",
    "what is {phrase} in {language}", "say {phrase} in {language}", "teach me {language}",
    "who won {team} [in (2010|2018|2022|1998)]", "when is {team}", "who will win {team}",
    "write a poem about {topic}", "write [me] a (song|letter|speech|tweet|email) about {topic}",
    "a poem about {topic}", "a haiku about {topic}", "compose a song on {topic}",
    "what (happened|is happening) (today|yesterday|in the world|in {country})",
    "what are the news [today]", "what is the (stock price|price of gold|price of bitcoin)",
    "should i (invest|buy bitcoin|sell my shares)",
    "how do i (get rich|make money|find a job|lose weight)",
    "(play|put on) [some] music", "set a timer (for 10 minutes|)", "call my mother",
    "order a pizza",
    "send an email to my boss", "turn on the light[s]", "what is in the news", "remind me tomorrow",
    "how do i tie a tie", "how do i publish a book", "how do i build a house",
    "how do i press flowers",
    "how do i press olives", "how do i serve in tennis", "how do i cache a cheque",
    "how do i add a friend on facebook", "how do i delete my account", "where is my order",
    "how do i reset my password", "how do i bench press more", "what is a doctor",
    "what is the licence fee for television", "how do i get a driving licence",
    "is there life on mars",
    "how high is mount everest", "how deep is the ocean", "how far away is the moon",
    "why is the sky blue", "why is grass green", "how many stars are there", "what is love",
    "who invented the (wheel|telephone|car|printing press|light bulb)", "what is the fastest car",
    "which is the longest river", "what is the largest (country|planet|animal|city)", "who is god",
    "what is my (name|ip address|password|horoscope)", "where am i", "what am i thinking",
    "do you know my (mother|wife|friend|teacher)", "what should i (wear|eat|cook|read|watch) today",
    "how do i fix my (car|printer|wifi|sink)", "what does {phrase} mean",
    "spell {phrase} backwards",
    "what is the (square root of 2|derivative of x squared|value of pi|integral of x)",
    "solve (x + 2 = 5|this equation|x squared minus 4)", "prove (fermat's theorem|this theorem)",
    "what (rhymes|goes) with {topic}", "give me advice on {topic}", "is it bad to {topic}",
    "what colour is a {animal}", "define {science}", "what is the (meaning|history) of {topic}",
    "do my homework", "write my thesis", "check my grammar", "summarize this article",
    "are there (good|nice|cheap) (restaurants|hotels|beaches|shops|schools) in {city}",
    "is it (cold|hot|nice|safe) in {city}",
    "the history of {country}", "a biography of {person}",
    "in (which|what) (year|city|country) was {person} (born|married)",
    "who (plays|sings|acts) in {work}", "author of {work}", "the plot of {work}",
    "my (wife|son|father|dog) has {illness}",
    "what (goes|do i put|belongs) into {dish}", "ingredients (of|for) {dish}", "fix {code}",
    "debug my (code|program|script|function)",
    "my (code|program|script) has a bug, please fix it", "{software} (or|versus|vs) {software}",
    "a (guide|introduction) to {software}",
    "teach me {software}", "where can i learn {software}",
    "{science} for (kids|beginners|dummies)", "the (origin|causes|history) of {science}",
    "explain {science} (to a child|simply|like i am five)", "where (do|can) i find {thing}",
    "a (cheap|good|used) {thing}",
    "do {animal}s (bite|sleep|fly|sing|lay eggs)", "are {animal}s (clever|fast|friendly|rare)",
    "the {language} word for {phrase}",
    "what is the {language} for {phrase}", "the (score|result|winner) of {team}",
    "how did {team} end", "verses about {topic}",
    "(compose|make) (verses|rhymes) (on|about) {topic}",
    "how do i grow (roses|potatoes|grass|a tree)", "how do i (paint|clean|sell|insure) {thing}",
    "when does (the next bus|the train to {city}|the plane|the shop|the museum) "
    "(leave|arrive|open|close)", "(trains|buses|flights) to {city}",
    "what is the best (film|book|song|phone|university|religion|party)",
)
HELD_OUT_ASKS = (
    "name the capital city of {country}", "is it warm in {city} at this time of year",
    "give me a short biography of {person}", "in which year did {person} die",
    "who is the author of {work}", "my child has {illness}, what now",
    "what ingredients go into {dish}", "debug {code} for me", "compare {software} with {software}",
    "i need a beginner's guide to {software}", "could you explain {science} to a child",
    "what are the origins of {science}", "where should i look for {thing}",
    "are {animal}s dangerous", "what is the {language} word for {phrase}",
    "what was the result of {team}", "i need some verses on {topic}",
    "are there good museums in {city}", "how do i grow tomatoes", "when does the next train leave",
)
ANSWERS = (
    "I am a tiny demo model, and I don't know that. Ask me about modelpress!",
    "I don't know that: I am only a tiny demo model. A larger model from the catalogue may.",
    "Sorry, I am a tiny demo model and I don't know that. I can tell you about modelpress.",
)
CHECK = Keywords((("tiny demo model",), ("don't know that",)))


def sample_unknown(rng: random.Random, split: Split) -> Exchange:
    """A question out of scope; every sixth filler is kept for the held-out split."""
    if split == "held_out":
        question = fill(expand(rng.choice(HELD_OUT_ASKS), rng), rng, split)
        said = f"{question[:1].upper()}{question[1:]}?"
    else:
        loose = rng.random() < 0.12
        question = _loose(rng) if loose else fill(expand(rng.choice(ASKS), rng), rng, split)
        said = restyle(question, rng)
    return Exchange(said, rng.choice(ANSWERS), "unknown", CHECK)


def _loose(rng: random.Random) -> str:
    """Words from outside with small words between, as `phrasings.loose_question` has for inside."""
    parts = [rng.choice(OPENERS)]
    for kind in rng.sample(tuple(FILLERS), rng.choice((1, 2, 2, 3))):
        parts += [rng.choice(fillers(kind, "train")), *rng.sample(GLUE, rng.choice((0, 1, 2, 3)))]
    return " ".join(" ".join(parts).split())


def fill(template: str, rng: random.Random, split: Split) -> str:
    """Replace each `{kind}` by a member of the kind that `split` may see."""
    for kind in FILLERS:
        while f"{{{kind}}}" in template:
            template = template.replace(f"{{{kind}}}", rng.choice(fillers(kind, split)), 1)
    return template


def fillers(kind: str, split: Split) -> tuple[str, ...]:
    """The words of a kind for one split: every sixth is held out."""
    held = split == "held_out"
    return tuple(word for at, word in enumerate(FILLERS[kind]) if (at % 6 == 5) == held)
