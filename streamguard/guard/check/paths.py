"""Rules about paths: each is one of the schema's, each leaf is classified, and no value has two treatments."""

from __future__ import annotations

from collections.abc import Iterator

from streamguard.formats.base import Leaf
from streamguard.guard.check.facts import TEXT, Facts, quoted
from streamguard.guard.classify import first_tag
from streamguard.guard.fields import leaf_at
from streamguard.policy.expected import Place
from streamguard.policy.paths import Places, Wild
from streamguard.policy.problems import Problem, did_you_mean, listed


def nameless_values(facts: Facts) -> Iterator[Problem]:
    """A schema without a single field that a path could name. The other rules have nothing to say of it then."""
    leaf = _root(facts)
    if leaf is not None:
        what = "objects or arrays of any shape" if leaf.free else "single values"
        message = f"the schema declares no fields that a policy could name: its records are {what}"
        advice = "declare their fields" if leaf.free else "let the producer put them into a field"
        yield facts.report(("value",), message, "open_shape" if leaf.free else "unclassified", advice)


def unknown_paths(facts: Facts) -> Iterator[Problem]:
    """A path that the schema does not have."""
    if not facts.form.declares or _root(facts) is not None:
        return
    subject = [facts.subject] if facts.subject else []
    for written in (*facts.fields, *facts.kept, *facts.cleaned, *subject):
        path = written.path
        if facts.places.covered(path):
            continue
        around = next((leaf for leaf in facts.places.covering(path) if leaf.free), None)
        if around is not None:
            message = f"'{written.text}' lies in '{around.path}', whose shape the schema leaves open"
            advice, code = f"transform it whole: {quoted(around.path)}: encrypt", "open_shape"
        else:
            message = f"the schema has no '{written.text}'"
            advice, code = _did_you_mean(facts, written.text), "unknown_path"
        yield facts.report(written.place, message, code, advice, on_key=written.on_key)


def overlapping_paths(facts: Facts) -> Iterator[Problem]:
    """Two paths that decide about the same value."""
    numbers = {written.place: number for number, written in enumerate((*facts.fields, *facts.kept))}
    pairs = [
        (one, two)
        for one in (*facts.fields, *facts.kept)
        for two in facts.decided.overlapping(one.path)
        if numbers[one.place] < numbers[two.place]
    ]
    for one, two in pairs:
        section, other_section = one.place[0], two.place[0]
        if one.path == two.path:
            where = (
                f"in '{section}' and in '{other_section}'"
                if section != other_section
                else f"twice in '{section}'"
            )
            message = f"'{two.text}' is {where}"
        else:
            message = f"'{two.text}' and '{one.text}' decide about the same values"
        advice = "a value has one treatment: remove one of the two"
        yield facts.report(two.place, message, "overlap", advice, on_key=two.on_key)


def overlapping_tags(facts: Facts) -> Iterator[Problem]:
    """A tagged leaf some of whose values another path decides about: `m.*` beside `m.id`."""
    decided = [(written.path, written.path) for written in (*facts.fields, *facts.kept)]
    places = Places([*decided, *((leaf.path, leaf.path) for _, leaf in facts.tagged)])
    for tag, leaf in facts.tagged:
        for other in places.overlapping(leaf.path):
            if other != leaf.path:
                message = f"'{leaf.path}', which the schema tags '{tag}', and '{other}' decide about the same values"
                advice = "a value has one treatment: name the wider of the two under fields"
                yield facts.report(("tags", tag), message, "overlap", advice, on_key=True)
                break


def unclassified_leaves(facts: Facts) -> Iterator[Problem]:
    """A leaf of the schema that neither the policy nor a tag classifies."""
    tagged = {leaf.path for leaf in facts.leaves if first_tag(facts.policy.tags, leaf)[1] is not None}
    place: Place = ("fields",) if facts.loaded.document.has(("fields",)) else ("topic",)
    # A path that is wrong is reported, so what it was probably meant to name need not be.
    texts = [str(written.path) for written in (*facts.fields, *facts.kept)]
    meant = {facts.nearest_path(text) for text in texts if text not in facts.known_paths}
    for leaf in facts.leaves:
        if not leaf.path.segments or leaf.path in tagged or facts.decided.covering(leaf.path):
            continue
        if str(leaf.path) not in meant:
            message = f"nothing says what happens to '{leaf.path}'"
            yield facts.report(place, message, "unclassified", f"add {_proposal(leaf)}", on_key=True)


def kept_shapes(facts: Facts) -> Iterator[Problem]:
    """A kept path that is more than single values."""
    for written in facts.kept:
        below = facts.places.covered(written.path)
        deeper = [leaf for leaf in below if len(leaf.path.segments) > len(written.path.segments)]
        if deeper:
            names = listed(
                [quoted(leaf.path) for leaf in deeper[:3]] + (["…"] if len(deeper) > 3 else []), "and"
            )
            message = f"'{written.text}' holds several fields, and 'keep' names single ones"
            yield facts.report(written.place, message, "kept_shape", f"name them: {names}")
        elif any(leaf.free for leaf in below):
            message = f"the schema leaves the shape of '{written.text}' open: anything could pass"
            advice = f"declare its fields, or transform it whole: {quoted(written.path)}: encrypt"
            yield facts.report(written.place, message, "open_shape", advice)


def subject_path(facts: Facts) -> Iterator[Problem]:
    """The subject must be one single value."""
    written = facts.subject
    if written is None:
        return
    leaf = leaf_at(facts.places, written.path)
    if any(isinstance(segment, Wild) for segment in written.path.segments):
        message = f"'{written.text}' names several values, and a record has one subject"
        yield facts.report(written.place, message, "subject", "name a single value")
    elif leaf is not None and (leaf.free or leaf.types.isdisjoint({"string", "integer"})):
        message = f"'{written.text}' is no text or whole number that could name a person"
        yield facts.report(written.place, message, "subject", "name the person's id")


def skipped_paths(facts: Facts) -> Iterator[Problem]:
    """Only what is kept is inspected, and the names of maps, so only that can be skipped."""
    maps = [written for written in facts.fields if Wild.ANY in written.path.segments]
    inspected = {written.path for written in (*facts.kept, *maps)}
    for written in facts.skipped:
        if written.path not in inspected:
            is_field = written.text in facts.known_paths
            near = "" if is_field else did_you_mean(written.text, [other.text for other in facts.kept])
            message = f"'{written.text}' is not in 'keep', so nothing inspects it"
            yield facts.report(written.place, message, "not_kept", near or "remove it")


def _root(facts: Facts) -> Leaf | None:
    """The leaf that is the whole value, where the schema has no other."""
    return next((leaf for leaf in facts.leaves if not leaf.path.segments), None)


def _did_you_mean(facts: Facts, text: str) -> str:
    near = facts.nearest_path(text)
    return f"did you mean {quoted(near)}?" if near else ""


def _proposal(leaf: Leaf) -> str:
    """A line that would classify a leaf, as a starting point for thinking about it."""
    rule = "encrypt"
    if leaf.types == TEXT:
        by_format = {"date": "{generalize: {date: year}}", "ipv4": "{generalize: {ip: 24}}"}
        rule = by_format.get(leaf.format, rule)
    return f"to fields: {quoted(leaf.path)}: {rule} (or list it in keep)"
