"""The checks tell right answers from wrong ones."""

from model_configs.press_guide.exchanges import Exactly, Json, JsonListOf, Keywords, ListOf, Story


def test_keywords_are_whole_words_in_any_case() -> None:
    check = Keywords((("= 6",), ("q4", "q8")))
    assert check.passes("3 + 3 = 6, says Q8")
    assert not check.passes("3 + 60 = 63, says q8")
    assert not check.passes("3 + 3 = 6")


def test_a_list_needs_different_members_of_its_kind() -> None:
    check = ListOf(2, ("pear", "plum"))
    assert check.passes("- pear\n- plum") and check.passes("1. plum\n2. pear")
    assert not check.passes("- pear\n- pear")
    assert not check.passes("- pear\n- fox")


def test_json_is_compared_by_value() -> None:
    check = Json('{"a": 1, "b": 2}')
    assert check.passes('Here:\n```json\n{"b": 2, "a": 1}\n```')
    assert not check.passes('{"a": 1, "b": 2}') and not check.passes("```json\n{a\n```")


def test_a_json_list_needs_the_right_number() -> None:
    check = JsonListOf(1, ("pear", "plum"))
    assert check.passes('```json\n["plum"]\n```')
    assert not check.passes('```json\n["plum", "pear"]\n```') and not check.passes("plum")


def test_a_story_mentions_its_hero_and_has_sentences() -> None:
    check = Story(("fox",), 2)
    assert check.passes("A fox ran. It slept.")
    assert not check.passes("A fox ran.") and not check.passes("A hen ran. It slept.")


def test_exactly_forgives_outer_space_only() -> None:
    assert Exactly("a b").passes(" a b\n") and not Exactly("a b").passes("a  b")
