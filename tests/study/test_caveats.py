"""Warnings of judgements and models: what the catalogues say, held against each other."""

from layerrank.study.config import Study, caveats


def study(collections, models, leave_out=()):
    config = {"collections": list(collections), "models": list(models), "leave_out": list(leave_out)}
    return Study(config, collections, models)


def test_a_model_that_came_out_later_may_have_seen_the_answers():
    collections = {"old": {"dated": "2019"}, "new": {"dated": "2025-06"}, "undated": {}}
    models = {"m": {"released": "2025-04"}, "n": {}}
    assert caveats(study(collections, models)) == [
        "m (2025-04) came out after queries and judgements of old (2019): it may have seen the answers."
    ]


def test_dates_are_compared_as_far_as_both_say():
    # In 2024 and in April 2024: neither is known to be the later one.
    assert caveats(study({"c": {"dated": "2024"}}, {"m": {"released": "2024-04"}})) == []
    assert len(caveats(study({"c": {"dated": "2024-03"}}, {"m": {"released": "2024-04"}}))) == 1


def test_a_judge_of_the_models_lineage_is_named():
    collections = {"c": {"judged_by": "Qwen3-32B"}, "d": {"judged_by": "people"}}
    models = {"q": {"lineage": "qwen"}, "g": {"lineage": "gemma"}, "x": {}}
    assert caveats(study(collections, models)) == [
        "c was judged by Qwen3-32B, which q is kin to: it may favour what its kind prefers."
    ]


def test_pairs_that_are_left_out_are_not_warned_of():
    left_out = [{"collections": ["c"], "models": ["m"], "because": "too long"}]
    assert caveats(study({"c": {"dated": "2019"}}, {"m": {"released": "2025"}}, left_out)) == []
