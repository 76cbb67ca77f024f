"""Portraits of fictional people: their attributes, a drawn view of them, a phrase that names what it shows.

`render` is the only way to a picture, so another renderer can stand behind it. A person maps each
key of ATTRIBUTES, and one more, `face` (a small number, such as "17"): it fixes the measures of the face,
so the same mapping is the same person in every view.
"""

import difflib
import random
from collections.abc import Mapping

from PIL import Image, ImageDraw

from mmrc_helpers.worlds.people.portraits import face as faces
from mmrc_helpers.worlds.people.portraits import hair as hairs
from mmrc_helpers.worlds.people.portraits import headwear as hats
from mmrc_helpers.worlds.people.portraits import marks as marks
from mmrc_helpers.worlds.people.portraits import view as views
from mmrc_helpers.worlds.people.portraits import wear as wear

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "gender": ("woman", "man"),
    "age": ("twenties", "thirties", "forties", "fifties", "sixties", "seventies"),
    "appearance": tuple(faces.SKIN),
    "hair_style": ("bald", "short", "bob", "long", "wavy", "bun", "afro", "braids", "mohawk", "ponytail"),
    "hair_color": tuple(hairs.HAIR),
    "facial_feature": (
        "none",
        "beard",
        "goatee",
        "moustache",
        "freckles",
        "scar",
        "mole",
        "bandage",
        "eye patch",
    ),
    "expression": ("neutral", "smiling", "laughing", "sad", "angry", "surprised", "winking"),
    "glasses": ("none", "round", "square", "sunglasses", "monocle"),
    "headwear": ("none", "cap", "beret", "top hat", "beanie", "headscarf", "crown", "cowboy hat", "headband"),
    "headwear_color": tuple(hats.CLOTH),
    "attire": (
        "suit",
        "hoodie",
        "dress",
        "t-shirt",
        "turtleneck",
        "lab coat",
        "overalls",
        "uniform",
        "striped shirt",
    ),
    "attire_color": tuple(hats.CLOTH),
    "eye_color": tuple(faces.IRIS),
}
FACES = 1000  # different faces that draw_attributes chooses from
_FACIAL_HAIR = ("beard", "goatee", "moustache")
_OPEN_TOPS = ("none", "headband", "crown")  # headwear that leaves high hair its place


def draw_attributes(rng: random.Random) -> dict[str, str]:
    """One consistent person: a value for every attribute, and a `face`."""
    person = {name: rng.choice(values) for name, values in ATTRIBUTES.items()}
    person["face"] = str(rng.randrange(FACES))
    man, old = person["gender"] == "man", person["age"] in ("sixties", "seventies")
    if rng.random() < 0.3:
        person["headwear"] = "none"
    if man:
        person["hair_style"] = rng.choice(
            ("bald", "short", "short", "long", "bun", "afro", "mohawk", "braids")
        )
        person["facial_feature"] = rng.choice((*_FACIAL_HAIR, *ATTRIBUTES["facial_feature"]))
        person["headwear"] = "beret" if person["headwear"] == "headscarf" else person["headwear"]
        person["attire"] = "suit" if person["attire"] == "dress" else person["attire"]
    elif person["hair_style"] in ("bald", "mohawk") and rng.random() < 0.7:
        person["hair_style"] = rng.choice(("long", "wavy", "ponytail", "bob"))
    if old and rng.random() < 0.6:
        person["hair_color"] = rng.choice(("grey", "white"))
    elif person["age"] in ("twenties", "thirties") and person["hair_color"] in ("grey", "white"):
        person["hair_color"] = rng.choice(("black", "brown", "blonde", "red"))
    return _without_clashes(person, rng)


def _without_clashes(person: dict[str, str], rng: random.Random) -> dict[str, str]:
    """Take back what would hide another attribute or could not be worn."""
    if not _beard_possible(person) and person["facial_feature"] in _FACIAL_HAIR:
        person["facial_feature"] = rng.choice(("none", "freckles", "scar", "mole", "bandage"))
    if person["facial_feature"] == "eye patch":
        person["glasses"] = "none"
        person["expression"] = "smiling" if person["expression"] == "winking" else person["expression"]
    if person["hair_style"] == "mohawk" and person["headwear"] not in _OPEN_TOPS:
        person["headwear"] = "none"
    return person


def _beard_possible(attributes: Mapping[str, str]) -> bool:
    return attributes["gender"] == "man"


def visible(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes that a picture of this person shows, in the order of ATTRIBUTES.

    Hair under a headscarf, the colour of missing hair or headwear, and eyes shut or behind sunglasses
    are left out: they do not change the picture, so no question can be asked about them.
    """
    shown = {name: attributes[name] for name in ATTRIBUTES}
    hidden = set()
    if shown["headwear"] == "headscarf":
        hidden |= {"hair_style"}
    if shown["headwear"] == "none":
        hidden |= {"headwear_color"}
    no_hair = shown["headwear"] == "headscarf" or shown["hair_style"] == "bald"
    if no_hair and shown["facial_feature"] not in _FACIAL_HAIR:
        hidden |= {"hair_color"}
    patched_wink = shown["facial_feature"] == "eye patch" and shown["expression"] == "winking"
    if shown["glasses"] == "sunglasses" or shown["expression"] == "laughing" or patched_wink:
        hidden |= {"eye_color"}
    return {name: value for name, value in shown.items() if name not in hidden}


def describe(attributes: Mapping[str, str]) -> str:
    """One phrase that names every visible attribute, "a smiling … woman in her thirties with …".

    Raises:
        ValueError: an attribute is missing or has an unknown value.
    """
    check(attributes)
    seen = visible(attributes)
    mood = seen["expression"]
    whose = "his" if seen["gender"] == "man" else "her"
    parts = [*_hair_phrases(seen), *_worn_phrases(seen)]
    listed = ", ".join(parts[:-1]) + " and " + parts[-1]
    kind = f"{'an' if mood == 'angry' else 'a'} {mood} {seen['appearance']} {seen['gender']}"
    return f"{kind} in {whose} {seen['age']} with {listed}"


def _hair_phrases(seen: Mapping[str, str]) -> list[str]:
    style, colour, feature = seen.get("hair_style"), seen.get("hair_color"), seen["facial_feature"]
    nouns = {"short": "short {} hair", "long": "long {} hair", "wavy": "wavy {} hair", "braids": "{} braids"}
    phrases = []
    if style == "bald":
        phrases.append("a bald head")
    elif style:
        phrases.append(nouns.get(style, "a {} " + style).format(colour))
    if "eye_color" in seen:
        phrases.append(f"{seen['eye_color']} eyes")
    if feature in _FACIAL_HAIR:
        phrases.append(f"a {colour} {feature}")
    elif feature != "none":
        phrases.append(feature if feature == "freckles" else f"{_article(feature)} {feature}")
    return phrases


def _worn_phrases(seen: Mapping[str, str]) -> list[str]:
    phrases = []
    if seen["glasses"] in ("round", "square"):
        phrases.append(f"{seen['glasses']} glasses")
    elif seen["glasses"] != "none":
        phrases.append("a monocle" if seen["glasses"] == "monocle" else "sunglasses")
    if seen["headwear"] != "none":
        phrases.append(f"{_article(seen['headwear_color'])} {seen['headwear_color']} {seen['headwear']}")
    colour, attire = seen["attire_color"], seen["attire"]
    if attire == "lab coat":
        phrases.append(f"a lab coat over {_article(colour)} {colour} shirt")
    else:
        phrases.append(
            f"{colour} overalls" if attire == "overalls" else f"{_article(colour)} {colour} {attire}"
        )
    return phrases


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeo" else "a"


def check(attributes: Mapping[str, str]) -> None:
    """Raise ValueError, naming the near miss, for a missing or unknown attribute or value."""
    for name in attributes:
        if name not in ATTRIBUTES and name != "face":
            raise ValueError(f"{name}: no such attribute{_near_miss(name, ATTRIBUTES)}")
    for name, values in ATTRIBUTES.items():
        if name not in attributes:
            raise ValueError(f"{name}: missing; give one of {', '.join(values)}")
        if attributes[name] not in values:
            raise ValueError(
                f"{name}: no such value {attributes[name]!r}{_near_miss(str(attributes[name]), values)}"
            )


def _near_miss(word: str, words) -> str:
    close = difflib.get_close_matches(word, words, 1, 0)
    return f"; did you mean {close[0]}?" if close else ""


def render(attributes: Mapping[str, str], rng: random.Random, size: int = 64) -> Image.Image:
    """One view of the person as an RGB picture of (size, size) pixels.

    The same attributes, generator state and size give the same bytes; the generator decides pose, light,
    background and noise. What `visible` leaves out does not change the picture.

    Raises:
        ValueError: an attribute is missing or has an unknown value.
    """
    check(attributes)
    face, view = faces.measure_face(attributes), views.take_view(rng)
    side = size * views.supersampling(size)
    canvas = views.draw_background(view, side)
    head, body = views.pens(ImageDraw.Draw(canvas), view, side)
    _draw_person(head, body, attributes, face, view.gaze)
    return views.develop(canvas, head, face, view, size)


def _draw_person(head, body, attributes: Mapping[str, str], face: faces.Face, gaze: float) -> None:
    """Everything of a person, from back to front."""
    seen, man = visible(attributes), attributes["gender"] == "man"
    hair = hairs.HAIR[seen.get("hair_color", "brown")]
    style, covered = seen.get("hair_style", "bald"), seen["headwear"] not in _OPEN_TOPS
    cloth = hats.CLOTH[seen["attire_color"]]
    hairs.draw_hair_behind(head, face, style, hair, covered)
    wear.draw_attire_behind(body, seen["attire"], cloth)
    faces.draw_neck(body, face, man)
    wear.draw_attire(body, face, seen["attire"], cloth, man)
    faces.draw_head(head, face)
    _draw_features(head, attributes, face, hair, gaze)
    hairs.draw_hair(head, face, style, hair, man)
    hairs.draw_hair_before(head, face, style, hair, covered)
    wear.draw_glasses(head, face, seen["glasses"])
    hats.draw_headwear(head, face, seen["headwear"], hats.CLOTH[seen.get("headwear_color", "white")])


def _draw_features(head, attributes: Mapping[str, str], face: faces.Face, hair, gaze: float) -> None:
    """What lies on the face; facial hair grows over the lines of age and under the mouth."""
    feature, expression = attributes["facial_feature"], attributes["expression"]
    grown = feature in _FACIAL_HAIR
    marks.draw_age(head, face, attributes["age"])
    if grown:
        marks.draw_feature(head, face, feature, hair)
    faces.draw_nose(head, face, attributes["appearance"])
    faces.draw_mouth(head, face, attributes)
    if grown:
        marks.draw_moustache(head, hair, 0.72 if expression == "laughing" else 0.8)
    faces.draw_eyes(head, face, attributes, gaze)
    faces.draw_brows(head, face, attributes, faces.brow_colour(hair))
    if not grown:
        marks.draw_feature(head, face, feature, hair)
