"""The page in a real browser: what it shows is what Python computes, whatever the texts hold."""

from __future__ import annotations

import itertools
import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau
from support.pages import HOSTILE, browser_page, chromium, hostile_page, hostile_view

from layerrank.attention.explorer.view import describe
from layerrank.core.windows import LayerWindow

pytest.importorskip("playwright", reason="playwright drives the browser")
pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def views():
    return [hostile_view(f"q{seed}", seed=seed) for seed in range(5)]


@pytest.fixture(scope="module")
def address(views, tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    path.write_text(hostile_page(views), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def opened():
    with browser_page() as found:
        yield found


@pytest.fixture
def page(opened, address):
    """The page freshly opened; it must end without an error and without a request of its own."""
    tab, wrong = opened
    wrong.clear()
    tab.goto("about:blank")
    tab.goto(address)
    tab.wait_for_selector("html[data-ready]")
    yield tab
    assert wrong == []
    assert tab.title().startswith("</title>")


def ranking(page):
    """Passage ids as the page ranks them."""
    return page.evaluate(
        """() => [...document.querySelectorAll('#ranking .item')].filter(g => g.getAttribute('visibility') !== 'hidden')
        .map(g => [Number(/,([-0-9.]+)/.exec(g.getAttribute('transform'))[1]), g.dataset.pid])
        .sort((a, b) => a[0] - b[0]).map(pair => pair[1])"""
    )


def measured(page):
    return page.inner_text("#ranking .value")


def shown(number):
    return re.sub(r"^(-?)0\.", r"\1.", f"{number:.3f}")


def expect(page, view, window, number=0):
    """The page shows Python's order and measure."""
    order = view.order(window, number)
    assert ranking(page) == [view.passages[i].pid for i in order]
    assert measured(page) == shown(view.views[number].values[view.column(window)])


def settle(page):
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def window_of(page):
    first, last = page.query_selector_all("#window .handle")
    return LayerWindow(int(first.get_attribute("aria-valuenow")), int(last.get_attribute("aria-valuenow")))


def test_every_window_by_keyboard(page, views):
    """Twenty windows by arrows, shift and the two handles."""
    chosen = random.Random(3)
    page.focus("#window .range")
    seen = set()
    for _ in range(60):
        where = chosen.choice(["#window .range", "#window .handle >> nth=0", "#window .handle >> nth=1"])
        page.focus(where)
        key = chosen.choice(["ArrowLeft", "ArrowRight", "Shift+ArrowRight", "Shift+ArrowLeft"])
        page.keyboard.press(key)
        settle(page)
        window = window_of(page)
        expect(page, views[0], window)
        seen.add(window)
    assert len(seen) >= 12


def test_windows_by_mouse(page, views):
    layers = views[0].layers
    for start, end in [(0, 5), (0, 0), (5, 5), (2, 4), (1, 3), (3, 3), (0, 3), (4, 5)]:
        box = page.query_selector("#window svg").bounding_box()
        step = (box["width"] - 44) / layers
        for handle, layer in ((0, 0), (1, layers - 1), (0, start), (1, end)):
            grip = page.query_selector_all("#window .handle")[handle].bounding_box()
            page.mouse.move(grip["x"] + grip["width"] / 2, grip["y"] + 20)
            page.mouse.down()
            page.mouse.move(box["x"] + 34 + (layer + 0.5) * step, grip["y"] + 20, steps=3)
            page.mouse.up()
            settle(page)
        assert window_of(page) == LayerWindow(start, end)
        expect(page, views[0], LayerWindow(start, end))


def test_a_drag_moves_the_whole_window(page, views):
    page.click("#window .preset >> nth=0")
    settle(page)
    assert window_of(page) == LayerWindow(1, 2)
    box = page.query_selector("#window .range").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 1.5, box["y"] + 40, steps=4)
    page.mouse.up()
    settle(page)
    assert window_of(page) == LayerWindow(3, 4)
    expect(page, views[0], LayerWindow(3, 4))


def test_the_triangle_sets_the_window(page, views):
    page.click("#windows rect[data-s='2'][data-e='5']")
    settle(page)
    assert window_of(page) == LayerWindow(2, 5)
    expect(page, views[0], LayerWindow(2, 5))


def test_presets_follow_the_query(page, views):
    assert window_of(page) == LayerWindow(1, 2)  # the first preset's own window of this query
    assert "chosen on the test queries" in page.inner_text("#window .preset >> nth=2")
    page.click("#queries [data-qid='q1']")
    page.wait_for_selector("html[data-ready='q1']")
    assert window_of(page) == LayerWindow(2, 3)
    expect(page, views[1], LayerWindow(2, 3))
    page.click("#window .preset >> nth=1")
    settle(page)
    assert window_of(page) == LayerWindow(0, 5)


def test_orders_and_other_systems(page, views):
    window = LayerWindow(1, 2)
    page.select_option("#ranking select >> nth=1", "1")
    settle(page)
    expect(page, views[0], window, 1)
    page.select_option("#ranking select >> nth=0", "run listwise-generation")
    settle(page)
    run = views[0].runs["listwise-generation"]
    assert shown(run.value) in page.inner_text("#ranking .figures")
    page.select_option("#ranking select >> nth=0", "window 0-5")
    settle(page)
    both = page.inner_text("#ranking .figures")
    assert shown(views[0].views[1].values[views[0].column(LayerWindow(0, 5))]) in both
    expect(page, views[0], window, 1)


def test_a_passage_shows_its_words(page, views):
    for index, passage in enumerate(views[0].passages):
        page.evaluate(
            "pid => document.querySelector(`.item[data-pid='${pid}']`).dispatchEvent(new Event('click'))", passage.pid
        )
        settle(page)
        joined = page.evaluate("() => document.querySelector('#passage .text').textContent")
        assert joined == "".join(views[0].pieces[index])
        said = page.inner_text("#passage .sentence")
        assert numbers(said) == numbers(describe(views[0], index, window_of(page)))
        dropped = page.evaluate(
            "() => [...document.querySelectorAll('#passage .token')].map(t => t.classList.contains('dropped'))"
        )
        _, kept = views[0].token_scores(index, window_of(page))
        assert dropped == [not one for one in kept]
    page.select_option("#passage select >> nth=0", "sentence")
    assert page.evaluate("() => document.querySelector('#passage .text').textContent") == "".join(views[0].pieces[-1])


KINDS = ("calibrated", "raw", "na")


def toggle(page, kind):
    page.locator(f"#passage input[value={kind}] + span").click()
    page.wait_for_function(f"() => {'k=' + kind!r} === 'k=calibrated' || location.hash.includes('k={kind}')")
    settle(page)


def shaded(page, kind="calibrated"):
    """What the tooltip of each part of the text says of one signal."""
    name = {"calibrated": "query − N/A", "raw": "query alone", "na": "N/A alone"}[kind]
    titles = page.evaluate("() => [...document.querySelectorAll('#passage .token')].map(t => t.title)")
    return [float(title.split(f"{name} ")[1].split(";")[0]) for title in titles]


def test_the_signal_of_tokens_is_a_choice(page, views):
    """Shading, sentence and dropped tokens follow, at windows by keyboard too; the address keeps the choice."""
    view, passage = views[0], 1
    page.goto(page.url.split("#")[0] + f"#q=q0&w=1-2&p={view.passages[passage].pid}")
    settle(page)
    for kind in ("raw", "na", "calibrated"):
        toggle(page, kind)
        for key in ("ArrowRight", "Shift+ArrowRight", "Shift+ArrowLeft", "ArrowLeft"):
            page.focus("#window .range")
            page.keyboard.press(key)
            settle(page)
            window = window_of(page)
            expect(page, view, window)  # scores are those of the study, whatever is shaded
            values, kept = view.token_scores(passage, window, kind)
            layers = window.end - window.start + 1
            step = float(np.abs(view.signal).max() + view.na.max()) / 254
            for other in KINDS:
                exact = view.token_scores(passage, window, other)[0]
                assert shaded(page, other) == pytest.approx(exact, abs=layers * step + 0.01 * np.abs(exact).max())
            assert numbers(page.inner_text("#passage .sentence")) == numbers(describe(view, passage, window, kind))
            struck = page.evaluate("() => document.querySelectorAll('#passage .token.dropped').length")
            assert struck == int((~kept).sum())
        page.select_option("#passage select", "sentence")
        whole = float(values[kept].sum())
        assert sum(shaded(page, kind)) == pytest.approx(whole, abs=layers * len(values) * step)
        page.select_option("#passage select", "token")
    toggle(page, "raw")
    page.select_option("#passage select", "sentence")
    here = page.url
    assert "k=raw" in here and "t=sentence" in here
    page.goto("about:blank")
    page.goto(here)
    page.wait_for_selector("html[data-ready='q0']")
    assert page.locator("#passage input[value=raw]").is_checked()
    assert page.input_value("#passage select") == "sentence"
    assert "of the query's attention" in page.inner_text("#passage .sentence")
    page.click("#queries [data-qid='q1']")  # the choice holds for another query
    page.wait_for_selector("html[data-ready='q1']")
    assert "of the query's attention" in page.inner_text("#passage .sentence")


def test_the_signal_by_keyboard(page, views):
    page.focus("#passage input:checked")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => location.hash.includes('k=raw')")
    assert "of the query's attention" in page.inner_text("#passage .sentence")
    assert page.inner_text("[aria-live]") == "Tokens, layers and heads: query alone"
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("s")
    page.wait_for_function("() => location.hash.includes('k=na')")
    page.keyboard.press("s")
    page.wait_for_function("() => !location.hash.includes('k=')")
    assert numbers(page.inner_text("#passage .sentence")) == numbers(
        describe(views[0], int(views[0].order(window_of(page))[0]), window_of(page))
    )


def test_a_study_that_keeps_no_tokens_of_na_says_so(page, views, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(hostile_page([replace(view, na=None) for view in views]), encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]")
    before = shaded(page)
    toggle(page, "raw")
    assert "keeps tokens of query − N/A only" in page.inner_text("#passage")
    assert shaded(page) == before and "query alone" in page.inner_text("#passage figure >> nth=0")


def numbers(text):
    """A sentence with its share of the score rounded to tens: the page reads it off quantised tokens."""
    return re.sub(r"(-?\d+)% of", lambda match: f"{round(int(match[1]), -1)}% of", text)


def test_search_sort_and_address(page, views):
    page.fill("#queries input", "q3")
    assert page.eval_on_selector_all("#queries li button", "all => all.map(b => b.dataset.qid)") == ["q3"]
    page.fill("#queries input", "")
    page.select_option("#queries select", "best")
    listed = page.eval_on_selector_all("#queries li button", "all => all.map(b => b.dataset.qid)")
    window = window_of(page)
    gains = {view.query.qid: float(view.views[0].values[view.column(window)]) - view.first_value for view in views}
    assert [round(gains[qid], 6) for qid in listed] == sorted((round(gain, 6) for gain in gains.values()), reverse=True)
    page.click("#queries [data-qid='q2']")
    page.wait_for_selector("html[data-ready='q2']")
    page.click("#windows rect[data-s='3'][data-e='4']")
    settle(page)
    here = page.url
    assert "q=q2" in here and "w=3-4" in here
    page.goto("about:blank")
    page.goto(here)
    page.wait_for_selector("html[data-ready='q2']")
    expect(page, views[2], LayerWindow(3, 4))


@pytest.mark.parametrize("part", ["window", "ranking", "windows", "passage"])
def test_each_part_is_a_drawing_to_keep(page, part, tmp_path):
    from xml.etree import ElementTree

    with page.expect_download() as waiting:
        page.click(f"#{part} .save")
    path = tmp_path / "part.svg"
    waiting.value.save_as(path)
    assert ElementTree.fromstring(path.read_text(encoding="utf-8")).tag == "{http://www.w3.org/2000/svg}svg"


def test_texts_are_shown_as_text(page, views):
    assert (
        page.evaluate("() => document.querySelectorAll('#app script, #app img, #app [onload], #app [onerror]').length")
        == 0
    )
    assert HOSTILE[0] in page.evaluate("() => document.querySelector('#queries').textContent")
    page.select_option("#ranking select >> nth=1", "1")
    assert "shuffled <b>1</b>" in page.evaluate("() => document.querySelector('#ranking').textContent")


@pytest.mark.parametrize(("theme", "kind"), [("light", "calibrated"), ("dark", "calibrated"), ("light", "raw")])
def test_people_who_cannot_see_it_can_use_it(page, theme, kind):
    """axe-core's rules of WCAG 2 A and AA."""
    toggle(page, kind)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core checks accessibility")
    page.emulate_media(color_scheme=theme)
    found = axe.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]}).response
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == [], json.dumps(
        found["violations"]
    )[:2000]


@pytest.mark.parametrize(
    ("width", "height"), [(390, 844), (1024, 900), (1280, 620), (1280, 900), (1440, 900), (1920, 900)]
)
def test_nothing_is_cut_off_at_any_width(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    settle(page)
    parts = page.evaluate("() => [...document.querySelectorAll('section')].map(s => [s.id, s.getBoundingClientRect()])")
    for (one, a), (other, b) in itertools.combinations(parts, 2):
        beside = a["right"] <= b["left"] or b["right"] <= a["left"]
        assert beside or a["bottom"] <= b["top"] or b["bottom"] <= a["top"], (one, other)
    assert all(box["height"] > 100 and box["width"] > 150 for _, box in parts)
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= width
    cut = page.evaluate(
        "() => [...document.querySelectorAll('section')].filter(s => s.scrollWidth > s.clientWidth + 1).map(s => s.id)"
    )
    assert cut == []
    over = "s => [s.id, s.scrollHeight - s.clientHeight]"
    low = page.evaluate(f"() => [...document.querySelectorAll('#window, #windows')].map({over})")
    assert max(by for _, by in low) <= 1, low
    page.set_viewport_size({"width": 1280, "height": 900})


def listed(page):
    return page.eval_on_selector_all("#queries li button", "all => all.map(b => b.dataset.qid)")


def own_page(page, tmp_path, views, part=""):
    path = tmp_path / "page.html"
    path.write_text(hostile_page(views), encoding="utf-8")
    page.goto(path.as_uri() + part)
    page.wait_for_selector("html[data-ready]")


def test_the_last_query_asked_for_is_shown(page, views):
    """A query that takes long to unpack does not come back over the one that was asked for after it."""
    page.click("#queries [data-qid='q1']")
    page.wait_for_selector("html[data-ready='q1']")
    page.evaluate(
        """() => {
            for (const qid of ['q2', 'q1']) document.querySelector(`#queries [data-qid='${qid}']`).click();
            return new Promise(done => setTimeout(done, 500));
        }"""
    )
    assert page.get_attribute("#queries [data-qid='q1']", "aria-current") == "true"
    expect(page, views[1], window_of(page))


def test_queries_without_a_number_come_last(page, views, tmp_path):
    """Some queries have one order alone, so no stability, some are not judged: the others are sorted all the same."""
    some = []
    for number, view in enumerate(views):
        if number in (0, 2):
            view = replace(view, views=view.views[:1])
        if number in (1, 2):
            view = replace(view, views=tuple(replace(one, values=None) for one in view.views), first_value=None)
        some.append(view)
    own_page(page, tmp_path, some)
    column = some[0].column(window_of(page))

    def stability(view):
        pids = [[view.passages[i].pid for i in one.orders[column]] for one in view.views]
        if len(pids) < 2:
            return 2.0
        ranks = [[ranked.index(passage.pid) for passage in view.passages] for ranked in pids]
        return float(kendalltau(*ranks).statistic)

    page.select_option("#queries select", "least stable")
    assert listed(page) == [view.query.qid for view in sorted(some, key=stability)]
    gains = {view.query.qid: view.views[0].values[column] - view.first_value for view in some if view.first_value}
    for name, way in (("worst", 1), ("best", -1)):
        page.select_option("#queries select", name)
        assert listed(page) == [*sorted(gains, key=lambda qid: way * gains[qid]), "q1", "q2"]


@pytest.mark.parametrize(
    "part",
    ["w=1.5-3", "w=3-1", "w=0-99", "w=-1-2", "w=", "b=run constructor", "b=run toString", "b=window 9-3", "b=window x",
     "b=window 0-99", "o=nothing", "k=constructor", "p=nobody"],
)  # fmt: skip
def test_an_address_of_nonsense_opens_the_page(page, views, tmp_path, part):
    own_page(page, tmp_path, views, "#q=q1&" + part)
    expect(page, views[1], window_of(page))
    assert "undefined" not in page.inner_text("#app") and "NaN" not in page.inner_text("#app")
    assert len(page.query_selector_all("#ranking .head")) == 2


def test_what_is_said_is_what_is_shown(page, views):
    """In another order of the candidates the measure that is read aloud is that order's; the order stays."""
    page.select_option("#ranking select >> nth=1", "1")
    page.click("#windows rect[data-s='0'][data-e='5']")
    settle(page)
    assert page.inner_text("[aria-live]").endswith(measured(page))
    expect(page, views[0], LayerWindow(0, 5), 1)
    page.click("#queries [data-qid='q3']")
    page.wait_for_selector("html[data-ready='q3']")
    expect(page, views[3], window_of(page), 1)


def test_the_handles_take_a_slider_s_keys(page, views):
    last = views[0].layers - 1
    page.click("#windows rect[data-s='2'][data-e='3']")
    settle(page)
    steps = [(1, "End", (2, last)), (1, "ArrowDown", (2, last - 1)), (1, "ArrowUp", (2, last)), (1, "Home", (2, 2))]
    for handle, key, window in [*steps, (0, "Home", (0, 2)), (0, "ArrowUp", (1, 2)), (0, "End", (2, 2))]:
        page.focus(f"#window .handle >> nth={handle}")
        page.keyboard.press(key)
        settle(page)
        assert window_of(page) == LayerWindow(*window)
        expect(page, views[0], LayerWindow(*window))


def test_arrows_scroll_the_passage(page):
    page.focus("#passage .scroll")
    before = page.inner_text("#passage .pid")
    page.keyboard.press("ArrowDown")
    settle(page)
    assert page.inner_text("#passage .pid") == before
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("ArrowDown")
    settle(page)
    assert page.inner_text("#passage .pid") != before


def test_control_characters_leave_a_drawing_well_formed(page, views, tmp_path):
    from xml.etree import ElementTree

    ugly = [replace(views[0], pieces=tuple(("[1]", " \x0b bell\x07 \x1b[31m \ufffe 🙂") for _ in views[0].pieces))]
    lengths = {len(pieces) for pieces in ugly[0].pieces}
    assert lengths == {2}
    ugly[0] = replace(ugly[0], signal=ugly[0].signal[:, : 2 * len(ugly[0].pieces)], na=None)
    own_page(page, tmp_path, ugly)
    for part in ("ranking", "passage"):
        with page.expect_download() as waiting:
            page.click(f"#{part} .save")
        path = tmp_path / "part.svg"
        waiting.value.save_as(path)
        kept = "".join(ElementTree.fromstring(path.read_text(encoding="utf-8")).itertext())
        assert "bell\ufffd" in kept and "🙂" in kept


def test_a_title_with_space_around_it_costs_no_letters(page, views, tmp_path):
    """The prompt strips a title's outer space; the ranking's words are what the prompt shows."""
    passages = tuple(replace(one, title="  A title\t") for one in views[0].passages)
    pieces = tuple(("[1]", " A title\t\n", *own[1:]) for own in views[0].pieces)
    own_page(page, tmp_path, [replace(views[0], passages=passages, pieces=_cut(pieces, views[0].pieces))])
    for item in page.eval_on_selector_all("#ranking .item text:last-child", "all => all.map(t => t.textContent)"):
        assert item.startswith("A title")


def _cut(pieces, like):
    """Pieces of as many tokens as `like`, which a signal has."""
    return tuple(
        (*own[: len(other) - 1], "".join(own[len(other) - 1 :])) for own, other in zip(pieces, like, strict=True)
    )


def test_a_long_query_leaves_room_for_the_others(page, views, tmp_path):
    texts = ["wing " * 500, "W" * 3000, "short"]
    own_page(
        page,
        tmp_path,
        [replace(view, query=replace(view.query, text=text)) for view, text in zip(views, texts, strict=False)],
    )
    tall = page.eval_on_selector_all("#queries li", "all => all.map(item => item.getBoundingClientRect().height)")
    assert max(tall) < 160 and len(tall) == 3
    assert page.evaluate("() => document.querySelector('#queries .scroll').scrollWidth") <= page.evaluate(
        "() => document.querySelector('#queries .scroll').clientWidth"
    )
    assert page.get_attribute("#queries [data-qid='q0'] .asked", "title") == texts[0]


@pytest.mark.parametrize("layers", [6, 30, 80])
@pytest.mark.parametrize("width", [390, 1280])
def test_numbers_of_layers_do_not_overlap(page, tmp_path, layers, width):
    page.set_viewport_size({"width": width, "height": 900})
    own_page(page, tmp_path, [hostile_view("q0", layers=layers)])
    boxes = page.eval_on_selector_all(
        "#window svg text[text-anchor=middle]", "all => all.map(t => t.getBoundingClientRect())"
    )
    page.set_viewport_size({"width": 1280, "height": 900})
    assert len(boxes) >= 4
    for one, other in itertools.pairwise(boxes):
        assert one["right"] <= other["left"]


def test_equal_scores_are_marked_and_near_ones_are_not(page, views, tmp_path):
    """Scores that float32 cannot tell apart are no ties: ranks are of float64."""
    own = views[0].views[0]
    scores = own.scores.copy()
    first, second, third, fourth = views[0].order(window_of(page))[:4]
    scores[:, [first, second, third, fourth]] = [1.0 + 1e-12, 1.0, 0.5, 0.5]
    scores[:, [i for i in range(6) if i not in (first, second, third, fourth)]] = [0.2, 0.1]
    orders = np.argsort(-scores, axis=1, kind="stable")
    own_page(page, tmp_path, [replace(views[0], views=(replace(own, scores=scores, orders=orders),))])
    marked = page.eval_on_selector_all(
        "#ranking .item", "all => all.map(g => [g.dataset.pid, g.querySelector('.rank').textContent])"
    )
    equal = {pid for pid, rank in marked if rank.startswith("=")}
    assert equal == {views[0].passages[i].pid for i in (third, fourth)}
