use super::*;

#[test]
fn only_who_may_write_may_run_a_pipeline_that_writes() {
    for stage in [
        bson!({ "$out": "c" }),
        bson!({ "$out": { "db": "d", "coll": "c", "timeseries": { "timeField": "t" } } }),
        bson!({ "$merge": "c" }),
        bson!({ "$merge": { "into": "c", "on": "_id", "whenMatched": "replace" } }),
        bson!({ "$merge": { "into": { "db": "d", "coll": "c" }, "whenMatched": [{ "$set": { "a": 1 } }] } }),
    ] {
        let operator = stage.as_document().unwrap().keys().next().unwrap();
        let stages = bson!([{ "$match": {} }, stage.clone()]);
        let error = pipeline(stages.clone(), Access::Read).unwrap_err();
        assert_eq!(
            told(&error),
            (ErrorCode::Forbidden, operator.as_str(), format!("pipeline[1].{operator}").as_str())
        );
        assert_eq!(
            check_view("pipeline", stages.as_array().unwrap()).unwrap_err().code,
            ErrorCode::Forbidden
        );
        assert_eq!(pipeline(stages.clone(), Access::Write).unwrap(), Effect::Writes);
        let nested =
            bson!([{ "$facet": { "a": [{ "$lookup": { "from": "c", "pipeline": stages, "as": "b" } }] } }]);
        assert_eq!(told(&pipeline(nested.clone(), Access::Read).unwrap_err()).1, operator);
        assert_eq!(pipeline(nested, Access::Write).unwrap(), Effect::Writes);
    }
    for key in ["$OUT", "＄out", " $out", "$o\u{200b}ut", "$Out", "a.$out"] {
        for stages in [bson!([{ key: "c" }]), bson!([{ "$match": { "a": [{ key: "c" }] } }])] {
            assert_eq!(told(&pipeline(stages, Access::Read).unwrap_err()).1, "$out", "{key:?}");
        }
        assert_eq!(
            pipeline(bson!([{ key: "c" }]), Access::Write).unwrap_err().code,
            if key.starts_with('$') { ErrorCode::Forbidden } else { ErrorCode::ValidationError },
            "{key:?}"
        );
    }
    assert_eq!(pipeline(bson!([{ "$match": { "a": "$out" } }]), Access::Read).unwrap(), Effect::Reads);
    assert_eq!(pipeline(bson!([]), Access::Read).unwrap(), Effect::Reads);
}

#[test]
fn stages_that_look_beyond_collections_are_for_admins() {
    for stage in [
        "$currentOp",
        "$listSessions",
        "$listLocalSessions",
        "$planCacheStats",
        "$shardedDataDistribution",
        "$queryStats",
        "$querySettings",
        "$listSampledQueries",
        "$listClusterCatalog",
        "$backupCursor",
        "$mergeCursors",
        "$externalFunction",
        "$Match",
        "$noSuchStage",
    ] {
        for (stages, field) in [
            (bson!([{ stage: {} }]), format!("pipeline[0].{stage}")),
            (
                bson!([{ "$unionWith": { "pipeline": [{ stage: {} }] } }]),
                format!("pipeline[0].$unionWith.pipeline[0].{stage}"),
            ),
            (bson!([{ "$facet": { "a": [{ stage: {} }] } }]), format!("pipeline[0].$facet.a[0].{stage}")),
        ] {
            for granted in [Access::Read, Access::Write] {
                let error = pipeline(stages.clone(), granted).unwrap_err();
                assert_eq!(told(&error), (ErrorCode::Forbidden, stage, field.as_str()));
            }
            assert_eq!(pipeline(stages.clone(), Access::Admin).unwrap(), Effect::Writes);
            assert!(check_view("pipeline", stages.as_array().unwrap()).is_err());
        }
    }
}

#[test]
fn stages_reach_only_databases_that_are_open_to_the_caller() {
    let there = || bson!({ "db": "Admin", "coll": "c" });
    for (stage, field) in [
        (bson!({ "$lookup": { "from": there(), "as": "x" } }), "$lookup.from.db"),
        (bson!({ "$graphLookup": { "from": there() } }), "$graphLookup.from.db"),
        (bson!({ "$unionWith": there() }), "$unionWith.db"),
        (bson!({ "$out": there() }), "$out.db"),
        (bson!({ "$merge": { "into": there() } }), "$merge.into.db"),
        (bson!({ "$facet": { "a": [{ "$lookup": { "from": there() } }] } }), "$facet.a[0].$lookup.from.db"),
    ] {
        let stages = bson!([stage]);
        let error = pipeline(stages.clone(), Access::Write).unwrap_err();
        assert_eq!(told(&error), (ErrorCode::Forbidden, "", format!("pipeline[0].{field}").as_str()));
        pipeline(stages, Access::Admin).unwrap();
    }
}

#[test]
fn names_in_stages_are_held_to_the_rules_of_names() {
    for (stage, code, field) in [
        (bson!({ "$lookup": { "from": "" } }), ErrorCode::ValidationError, "$lookup.from"),
        (bson!({ "$lookup": { "from": "$cmd.aggregate" } }), ErrorCode::ValidationError, "$lookup.from"),
        (bson!({ "$lookup": { "from": 1 } }), ErrorCode::ValidationError, "$lookup.from"),
        (
            bson!({ "$lookup": { "from": { "db": 1, "coll": "c" } } }),
            ErrorCode::ValidationError,
            "$lookup.from.db",
        ),
        (bson!({ "$unionWith": { "coll": "a\0" } }), ErrorCode::ValidationError, "$unionWith.coll"),
        (bson!({ "$unionWith": { "db": "a.b", "coll": "c" } }), ErrorCode::ValidationError, "$unionWith.db"),
        (bson!({ "$out": { "s3": { "bucket": "b" } } }), ErrorCode::ValidationError, "$out.s3"),
        (bson!({ "$merge": { "into": { "atlas": {} } } }), ErrorCode::ValidationError, "$merge.into.atlas"),
        (bson!({ "$out": "system.js" }), ErrorCode::Forbidden, "$out"),
        (bson!({ "$out": { "db": "d", "coll": "system.views" } }), ErrorCode::Forbidden, "$out.coll"),
        (bson!({ "$merge": "system.profile" }), ErrorCode::Forbidden, "$merge"),
        (bson!({ "$merge": { "into": "system.users" } }), ErrorCode::Forbidden, "$merge.into"),
    ] {
        let error = pipeline(bson!([stage]), Access::Admin).unwrap_err();
        assert_eq!(told(&error), (code, "", format!("pipeline[0].{field}").as_str()));
    }
    for stage in [
        bson!({ "$lookup": { "from": "system.profile", "pipeline": [], "as": "x" } }),
        bson!({ "$lookup": { "pipeline": [{ "$documents": [] }], "as": "x" } }),
        bson!({ "$unionWith": { "pipeline": [{ "$documents": [] }] } }),
        bson!({ "$unionWith": "with.dots and 🎉" }),
    ] {
        assert_eq!(pipeline(bson!([stage]), Access::Read).unwrap(), Effect::Reads);
    }
}

#[test]
fn a_pipeline_has_stages_that_end() {
    for (stages, field) in [
        (bson!([{ "$limit": 1 }, 1]), "pipeline[1]"),
        (bson!([{}]), "pipeline[0]"),
        (
            bson!([{ "$limit": 1 }, { "$skip": 1 }, { "$limit": 1 }, { "$skip": 1, "$limit": 1 }]),
            "pipeline[3]",
        ),
        (bson!([{ "match": {} }]), "pipeline[0]"),
        (bson!([[{ "$limit": 1 }]]), "pipeline[0]"),
        (bson!([{ "$facet": { "a": [{ "$limit": 1 }, null] } }]), "pipeline[0].$facet.a[1]"),
    ] {
        for granted in ROLES {
            let error = pipeline(stages.clone(), granted).unwrap_err();
            assert_eq!(told(&error), (ErrorCode::ValidationError, "", field));
        }
    }
    for stage in ["$changeStream", "$changeStreamSplitLargeEvent"] {
        let error = pipeline(bson!([{ stage: {} }]), Access::Admin).unwrap_err();
        assert_eq!(
            told(&error),
            (ErrorCode::ValidationError, stage, format!("pipeline[0].{stage}").as_str())
        );
    }
}

#[test]
fn a_pipeline_has_at_most_1000_stages() {
    let stages = |count| Bson::Array(vec![bson!({ "$limit": 1 }); count]);
    pipeline(stages(1000), Access::Read).unwrap();
    let error = pipeline(stages(1001), Access::Read).unwrap_err();
    assert_eq!(told(&error), (ErrorCode::ValidationError, "", "pipeline"));
    let nested = bson!([{ "$unionWith": { "coll": "c", "pipeline": stages(1001) } }]);
    let error = pipeline(nested, Access::Admin).unwrap_err();
    assert_eq!(told(&error), (ErrorCode::ValidationError, "", "pipeline[0].$unionWith.pipeline"));
}
