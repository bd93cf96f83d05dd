"""The many ways to put one intent into words: frames, synonyms, politeness, styles and typos.

Frames turn an intent's topics and tasks into questions. Held-out frames and an intent's
`held_out` templates never reach training: `held_out_forms` is the filter that ensures it.
"""

import random
from functools import cache

from .expansion import expand, expansions, normal_form
from .facts import Intent, intents

TOPIC_FRAMES = (
    "what (is|are) {}",
    "what's {}",
    "tell me [more|something] about {}",
    "explain {} [to me]",
    "(can|could) you (explain|describe) {}",
    "what can you (say|tell me) about {}",
    "[i have] a question about {}",
    "(info|information|details) (on|about) {}",
    "{}",
    "describe {}",
    "i (want|would like) to know [more] about {}",
    "what about {}",
    "do you know (anything|something) about {}",
    "what should i know about {}",
    "help me understand {}",
    "i do not understand {}",
    "can we talk about {}",
    "[in short,] what does {} mean",
)
TASK_FRAMES = (
    "how (do|can|could|would|should) i {}",
    "how to {}",
    "how (do|can) (you|we) {}",
    "what is the (way|command|best way|easiest way) to {}",
    "i (want|need|would like|have) to {}",
    "i'd like to {}",
    "[please] help me [to] {}",
    "can (i|you) {}",
    "is it possible to {}",
    "how does one {}",
    "what do i (do|need|have to do) to {}",
    "show me how to {}",
    "{}",
    "is there a (way|command) to {}",
    "(the|what are the) steps to {}",
    "can you show me how to {}",
    "which command do i need to {}",
    "tell me how to {}",
    "how is it possible to {}",
)
FOLLOW_UP_FRAMES = (
    "and {}",
    "what about {}",
    "ok, and {}",
    "and what about {}",
    "now tell me about {}",
    "i see, and {}",
)
FOLLOW_UP_TASK_FRAMES = (
    "and how do i {}",
    "then how can i {}",
    "ok, and how do i {}",
    "next i want to {}",
    "and if i want to {}",
    "how do i {} then",
)
HELD_OUT_TOPIC_FRAMES = (
    "i would love to hear about {}",
    "give me a quick summary of {}",
    "what do you know about {}",
    "could you clarify {} for me",
    "please say a few words about {}",
)
HELD_OUT_TASK_FRAMES = (
    "what should i type to {}",
    "i am trying to {}",
    "how might i {}",
    "explain how to {}",
    "where do i start if i want to {}",
)
HELD_OUT_FOLLOW_UP_FRAMES = ("how about {}", "good, but {}", "alright, now {}")
HELD_OUT_FOLLOW_UP_TASK_FRAMES = ("good, how do i {} now", "so how would i {}")

BEFORE = (
    "please",
    "hi,",
    "hello,",
    "hey,",
    "ok,",
    "so,",
    "quick question:",
    "tell me,",
    "sorry,",
    "excuse me,",
    "one question:",
    "well,",
    "um,",
    "hey press-guide,",
    "question:",
    "i wonder,",
    "just curious:",
    "good morning,",
    "dear guide,",
    "hmm,",
)
AFTER = (
    "please",
    "thanks",
    "thank you",
    "exactly",
    "in short",
    "[in] modelpress",
    "briefly",
    "in a few words",
    "right now",
    "again",
    "for me",
    "here",
    "by the way",
    "then",
    "today",
)
OPENERS = (
    "",
    "",
    "",
    "how",
    "what",
    "is",
    "can i",
    "does",
    "do",
    "which",
    "where",
    "i want",
    "i need",
    "tell me",
    "what if",
    "why",
    "is there",
    "my",
    "the",
    "can you",
    "should i",
    "will",
    "how do i",
    "i have",
    "what about",
    "who",
    "give me",
    "i would like",
    "are there",
    "could",
    "let me",
)
GLUE = (
    "the",
    "a",
    "my",
    "of",
    "for",
    "in",
    "with",
    "on",
    "to",
    "it",
    "and",
    "is",
    "are",
    "do",
    "does",
    "by",
    "from",
    "some",
    "any",
    "this",
    "here",
    "if",
    "when",
    "that",
    "be",
    "get",
    "there",
    "not",
    "at",
    "into",
    "me",
    "you",
    "i",
    "so",
    "then",
    "would",
    "will",
    "has",
    "have",
    "or",
    "as",
)
SYNONYMS = {
    "modelpress": ("model press", "ModelPress", "this project", "this tool", "Modelpress"),
    "licence": ("license",),
    "license": ("licence",),
    "browser": ("web browser",),
    "site": ("website", "web site"),
    "command": ("cli command",),
    "how do i": ("how do you", "how can i", "how to"),
    "what is": ("what's", "whats", "wat is"),
    "you": ("u",),
    "are": ("r",),
    "please": ("pls", "plz"),
    "do not": ("don't", "dont"),
    "i am": ("i'm", "im"),
    "it is": ("it's", "its"),
    "without": ("w/o",),
    "hugging face": ("huggingface", "HF"),
    "quantization": ("quantisation",),
}


def ask(intent: Intent, rng: random.Random) -> str:
    """One training question for `intent`, never a held-out one."""
    while True:
        question = restyle(rough_question(intent, rng), rng)
        if normal_form(question) not in held_out_forms():
            return question


def ask_again(intent: Intent, rng: random.Random) -> str:
    """One training question in passing, as the second or later turn of a dialogue."""
    while True:
        question = restyle(rough_follow_up(intent, rng), rng)
        if normal_form(question) not in held_out_forms():
            return question


def rough_question(intent: Intent, rng: random.Random) -> str:
    """A question from the intent's own templates or from a frame, before styling."""
    weights = (
        2 + len(intent.asks),
        len(intent.topics),
        2 * len(intent.tasks),
        5 if intent.words else 0,
    )
    kind = rng.choices(("asks", "topics", "tasks", "words"), weights)[0]
    if kind == "words":
        return loose_question(intent, rng)
    if kind == "asks":
        return expand(rng.choice(intent.asks), rng)
    if kind == "topics":
        return fill(rng.choice(TOPIC_FRAMES), rng.choice(intent.topics), rng)
    return fill(rng.choice(TASK_FRAMES), rng.choice(intent.tasks), rng)


def loose_question(intent: Intent, rng: random.Random) -> str:
    """The intent's key words with small words between: what a question means, whatever its form."""
    chosen = [expand(choice, rng) for choice in intent.words]
    if len(chosen) > 2 and rng.random() < 0.3:
        chosen.pop()
    if rng.random() < 0.4:
        rng.shuffle(chosen)
    parts = [rng.choice(OPENERS)]
    for word in chosen:
        parts += [word, *rng.sample(GLUE, rng.choice((0, 1, 1, 2, 3)))]
    return " ".join(" ".join(parts).split())


def rough_follow_up(intent: Intent, rng: random.Random) -> str:
    """An elliptic question; intents without any get an ordinary one."""
    kinds = [kind for kind in ("follow_ups", "topics", "tasks") if getattr(intent, kind)]
    if not kinds:
        return rough_question(intent, rng)
    kind = rng.choice(kinds)
    if kind == "follow_ups":
        return expand(rng.choice(intent.follow_ups), rng)
    if kind == "topics":
        return fill(rng.choice(FOLLOW_UP_FRAMES), rng.choice(intent.topics), rng)
    return fill(rng.choice(FOLLOW_UP_TASK_FRAMES), rng.choice(intent.tasks), rng)


def fill(frame: str, phrase: str, rng: random.Random) -> str:
    """Put an expansion of `phrase` into an expansion of `frame`."""
    return expand(frame, rng).replace("{}", expand(phrase, rng))


def held_out_questions(intent: Intent) -> tuple[str, ...]:
    """The intent's own held-out questions."""
    return intent.held_out


def held_out_framed(intent: Intent) -> tuple[str, ...]:
    """The intent's topics and tasks in every held-out frame."""
    topics = _crossed(HELD_OUT_TOPIC_FRAMES, intent.topics)
    return (*topics, *_crossed(HELD_OUT_TASK_FRAMES, intent.tasks))


def held_out_follow_ups(intent: Intent) -> tuple[str, ...]:
    """The intent's topics and tasks in every held-out follow-up frame."""
    topics = _crossed(HELD_OUT_FOLLOW_UP_FRAMES, intent.topics)
    return (*topics, *_crossed(HELD_OUT_FOLLOW_UP_TASK_FRAMES, intent.tasks))


def _crossed(frames: tuple[str, ...], phrases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        frame.replace("{}", text)
        for frame in frames
        for phrase in phrases
        for text in expansions(phrase)
    )


@cache
def held_out_forms() -> frozenset[str]:
    """The normal forms of every held-out question of every intent."""
    kinds = (held_out_questions, held_out_framed, held_out_follow_ups)
    return frozenset(
        normal_form(text) for intent in intents() for kind in kinds for text in kind(intent)
    )


def restyle(question: str, rng: random.Random) -> str:
    """Say the same in another manner: synonyms, politeness, case, punctuation, typos."""
    text = _with_synonyms(question, rng) if rng.random() < 0.3 else question
    if rng.random() < 0.2:
        text = f"{rng.choice(BEFORE)} {text}"
    if rng.random() < 0.1:
        text = f"{text} {expand(rng.choice(AFTER), rng)}"
    if rng.random() < 0.12:
        text = _with_typo(text, rng)
    if rng.random() < 0.04:
        text = _without_small_words(text)
    if rng.random() < 0.06:
        text = _without_a_word(text, rng)
    return punctuate(text, rng)


def punctuate(text: str, rng: random.Random) -> str:
    """End and capitalise `text` the way one of many users would."""
    if rng.random() < 0.6:
        text = text[:1].upper() + text[1:]
        text = text.replace(" i ", " I ") if rng.random() < 0.8 else text
    elif rng.random() < 0.04:
        text = text.upper()
    return text + rng.choices(("?", "", ".", "!", "??", " ?"), (55, 33, 6, 3, 1, 2))[0]


def _with_synonyms(text: str, rng: random.Random) -> str:
    padded = f" {text} "
    for word, others in SYNONYMS.items():
        if f" {word} " in padded and rng.random() < 0.5:
            padded = padded.replace(f" {word} ", f" {rng.choice(others)} ", 1)
    return padded.strip()


def _with_typo(text: str, rng: random.Random) -> str:
    if len(text) < 6:
        return text
    at = rng.randrange(1, len(text) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == 1:
        return text[:at] + text[at + 1 :]
    return text[:at] + text[at] + text[at:]


SMALL_WORDS = frozenset("the a an is are do does i to of it me you my can".split())


def _without_small_words(text: str) -> str:
    kept = [word for word in text.split() if word not in SMALL_WORDS]
    return " ".join(kept) if len(kept) > 1 else text


def _without_a_word(text: str, rng: random.Random) -> str:
    words = text.split()
    if len(words) > 4:
        del words[rng.randrange(len(words))]
    return " ".join(words)
