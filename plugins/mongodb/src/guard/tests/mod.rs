//! Cases by hand: JavaScript here, stages in `stages.rs`; `property.rs` has the random ones.

mod property;
mod stages;

use super::*;
use bson::{Binary, JavaScriptCodeWithScope, bson, doc, spec::BinarySubtype};

const ROLES: [Access; 3] = [Access::Read, Access::Write, Access::Admin];

fn pipeline(pipeline: Bson, granted: Access) -> Result<Effect, DriverError> {
    check_pipeline("pipeline", pipeline.as_array().unwrap(), granted)
}

/// The code, and the operator and field in the details, empty where there is none.
fn told(error: &DriverError) -> (ErrorCode, &str, &str) {
    let detail = |name: &str| error.details.get(name).map_or("", |value| value.as_str().unwrap());
    (error.code, detail("operator"), detail("field"))
}

#[test]
fn javascript_is_refused_wherever_a_pipeline_may_hide_it() {
    let javascript = || doc! { "$function": { "body": "f", "args": [], "lang": "js" } };
    for (stages, operator, field) in [
        (bson!([{ "$match": { "$where": "1" } }]), "$where", "pipeline[0].$match.$where"),
        (
            bson!([{ "$limit": 1 }, { "$match": { "$expr": { "$and": [1, javascript()] } } }]),
            "$function",
            "pipeline[1].$match.$expr.$and[1].$function",
        ),
        (
            bson!([{ "$lookup": { "from": "c", "pipeline": [{ "$set": { "a": javascript() } }], "as": "x" } }]),
            "$function",
            "pipeline[0].$lookup.pipeline[0].$set.a.$function",
        ),
        (
            bson!([{ "$lookup": { "from": "c", "let": { "v": javascript() }, "pipeline": [], "as": "x" } }]),
            "$function",
            "pipeline[0].$lookup.let.v.$function",
        ),
        (
            bson!([{ "$facet": { "a": [{ "$match": { "$nor": [{ "$where": "1" }] } }] } }]),
            "$where",
            "pipeline[0].$facet.a[0].$match.$nor[0].$where",
        ),
        (
            bson!([{ "$unionWith": { "coll": "c", "pipeline": [{ "$match": { "$where": "1" } }] } }]),
            "$where",
            "pipeline[0].$unionWith.pipeline[0].$match.$where",
        ),
        (
            bson!([{ "$group": { "_id": 1, "n": { "$accumulator": { "init": "f" } } } }]),
            "$accumulator",
            "pipeline[0].$group.n.$accumulator",
        ),
        (
            bson!([{ "$setWindowFields": { "output": { "n": { "$accumulator": {}, "window": {} } } } }]),
            "$accumulator",
            "pipeline[0].$setWindowFields.output.n.$accumulator",
        ),
        (
            bson!([{ "$merge": { "into": "c", "whenMatched": [{ "$set": { "a": javascript() } }] } }]),
            "$function",
            "pipeline[0].$merge.whenMatched[0].$set.a.$function",
        ),
        (
            bson!([{ "$merge": { "into": "c", "let": { "v": javascript() } } }]),
            "$function",
            "pipeline[0].$merge.let.v.$function",
        ),
        (
            bson!([{ "$graphLookup": { "from": "c", "restrictSearchWithMatch": { "$where": "1" } } }]),
            "$where",
            "pipeline[0].$graphLookup.restrictSearchWithMatch.$where",
        ),
        (
            bson!([{ "$geoNear": { "near": [0, 0], "query": { "$where": "1" } } }]),
            "$where",
            "pipeline[0].$geoNear.query.$where",
        ),
        (
            bson!([{ "$fill": { "output": { "a": { "value": javascript() } } } }]),
            "$function",
            "pipeline[0].$fill.output.a.value.$function",
        ),
        (
            bson!([{ "$densify": { "field": "a", "range": { "bounds": [javascript()] } } }]),
            "$function",
            "pipeline[0].$densify.range.bounds[0].$function",
        ),
        (
            bson!([{ "$rankFusion": { "input": { "pipelines": { "a": [{ "$match": { "$where": "1" } }] } } } }]),
            "$where",
            "pipeline[0].$rankFusion.input.pipelines.a[0].$match.$where",
        ),
        (
            bson!([{ "$project": { "a": { "$_internalJsEmit": { "eval": "f", "this": "$$ROOT" } } } }]),
            "$_internalJsEmit",
            "pipeline[0].$project.a.$_internalJsEmit",
        ),
        (
            bson!([{ "$documents": [{ "a": javascript() }] }]),
            "$function",
            "pipeline[0].$documents[0].a.$function",
        ),
        (bson!([{ "$where": "1" }]), "$where", "pipeline[0].$where"),
        (bson!([[{ "$where": "1" }]]), "$where", "pipeline[0][0].$where"),
    ] {
        for granted in [Access::Write, Access::Admin] {
            let error = pipeline(stages.clone(), granted).unwrap_err();
            assert_eq!(told(&error), (ErrorCode::Forbidden, operator, field));
        }
    }
}

#[test]
fn javascript_is_refused_in_filters_validators_and_updates() {
    let scope = Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope {
        code: "f".into(),
        scope: doc! { "a": { "$where": "1" } },
    });
    for (filter, field) in [
        (doc! { "$where": "1" }, "filter.$where"),
        (doc! { "a": [1, [{ "$where": "1" }]] }, "filter.a[1][0].$where"),
        (doc! { "a": { "$elemMatch": { "$where": "1" } } }, "filter.a.$elemMatch.$where"),
        (
            doc! { "$jsonSchema": { "properties": { "a": { "$where": "1" } } } },
            "filter.$jsonSchema.properties.a.$where",
        ),
        (doc! { "a": { "$ref": "c", "$id": 1, "$where": "1" } }, "filter.a.$where"),
        (doc! { "a": scope }, "filter.a.a.$where"),
        (doc! { "$literal": 1, "a": { "$where": "1" } }, "filter.a.$where"),
        (doc! { "$literal": { "a": 1 }, "$where": "1" }, "filter.$where"),
        (doc! { "$Literal": { "$where": "1" } }, "filter.$Literal.$where"),
        (doc! { "$const": { "$where": "1" } }, "filter.$const.$where"),
    ] {
        let error = check_filter("filter", &filter).unwrap_err();
        assert_eq!(told(&error), (ErrorCode::Forbidden, "$where", field));
        let error = check_update("update", &bson!([{ "$set": filter.clone() }])).unwrap_err();
        assert_eq!(told(&error).1, "$where");
        let error = check_update("update", &bson!({ "$set": filter })).unwrap_err();
        assert_eq!(told(&error).1, "$where");
    }
}

#[test]
fn disguised_keys_are_refused_by_the_name_they_pretend() {
    for key in [
        "$WHERE",
        "$Where",
        " $where",
        "$where ",
        "\t$where\n",
        "$wh\u{200b}ere",
        "\u{feff}$where",
        "$where\u{2060}",
        "$\u{ad}where",
        "\u{202e}$where\u{202c}",
        "$whe\u{3164}re",
        "$wher\u{fe0f}e",
        "$w\u{e0077}here",
        "＄where",
        "﹩where",
        "＄ｗｈｅｒｅ",
        "$𝔴𝔥𝔢𝔯𝔢",
        "$ⓦⓗⓔⓡⓔ",
        "$whére",
        "$where\u{301}",
        "a.$where",
        "a.b.$where.c",
        "a．＄where",
        "$$where",
        "$\u{1}where\u{7f}",
    ] {
        let error = check_filter("filter", &doc! { "a": { key: "1" } }).unwrap_err();
        assert_eq!(told(&error), (ErrorCode::Forbidden, "$where", format!("filter.a.{key}").as_str()));
    }
    let error = check_filter("filter", &doc! { "a": { "$where\0": "1" } }).unwrap_err();
    assert_eq!(told(&error), (ErrorCode::ValidationError, "", "filter.a.$where\0"));
    let error = check_filter("filter", &doc! { "＄_INTERNALx": 1 }).unwrap_err();
    assert_eq!(told(&error).1, "$_INTERNALx");
}

#[test]
fn what_only_contains_such_text_passes() {
    let binary = Binary { subtype: BinarySubtype::Generic, bytes: b"$where".to_vec() };
    for filter in [
        doc! {},
        doc! { "a": "$where" },
        doc! { "a": { "$in": ["$function", "$out"] } },
        doc! { "where": 1, "function": 1, "a.where": 1, "price$": 1, "a$where": 1, "_internal": 1 },
        doc! { "$expr": { "$eq": ["$a", { "$literal": { "$where": [{ "$function": 1 }] } }] } },
        doc! { "a": Bson::JavaScriptCode("$where".into()), "b": Bson::Symbol("$where".into()), "c": binary },
        doc! { "a": { "$ref": "c", "$id": 1, "$db": "d" }, "a.$id": 1 },
        doc! { "a.$**": 1, "$**": 1 },
        doc! { "$wherever": 1, "$functions": 1, "$merge": 1 },
        doc! { "größe": 1, "日本": 1, "🎉": 1, "": 1, ".": 1, "..": 1 },
    ] {
        check_filter("filter", &filter).unwrap();
        check_update("update", &bson!({ "$set": filter })).unwrap();
    }
    check_update("update", &bson!({ "$set": { "a.$[where].b": 1, "a.$[]": 1, "a.$": 1 } })).unwrap();
    pipeline(bson!([{ "$set": { "a": { "$literal": { "$out": 1, "$where": 1 } } } }]), Access::Read).unwrap();
}

#[test]
fn an_update_is_a_document_or_an_array_of_stages() {
    check_update("update", &bson!([{ "$set": { "a": 1 } }, { "$unset": "b" }])).unwrap();
    for bad in [bson!(1), bson!("$set"), Bson::Null] {
        let error = check_update("update", &bad).unwrap_err();
        assert_eq!(told(&error), (ErrorCode::ValidationError, "", "update"));
    }
    let error = check_update("update", &bson!([{ "$set": { "a": 1 } }, 1])).unwrap_err();
    assert_eq!(told(&error), (ErrorCode::ValidationError, "", "update[1]"));
    let error = check_update("update", &bson!([{ "$merge": "c" }])).unwrap_err();
    assert_eq!(told(&error), (ErrorCode::Forbidden, "$merge", "update[0].$merge"));
}

#[test]
fn a_hundred_levels_pass_and_more_are_refused() {
    let nested = |levels: usize, step: fn(Bson) -> Bson| {
        let inner = (2..levels).fold(bson!({ "a": 1 }), |inner, _| step(inner));
        doc! { "a": inner }
    };
    let under_literal = |inner| bson!({ "$literal": inner });
    let steps: [fn(Bson) -> Bson; 4] = [
        |inner| bson!({ "a": inner }),
        |inner| bson!([inner]),
        under_literal,
        |inner| {
            let scope = doc! { "a": inner };
            Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "f".into(), scope })
        },
    ];
    for step in steps {
        check_filter("filter", &nested(100, step)).unwrap();
        for levels in [101, 2000] {
            let error = check_filter("filter", &nested(levels, step)).unwrap_err();
            assert_eq!(told(&error), (ErrorCode::ValidationError, "", "filter"));
            let error = pipeline(bson!([{ "$match": nested(levels, step) }]), Access::Read).unwrap_err();
            assert_eq!(told(&error), (ErrorCode::ValidationError, "", "pipeline"));
        }
    }
}

#[test]
fn long_keys_are_shown_in_part() {
    let key = format!("$where.{}", "ü".repeat(10_000));
    let error = check_filter("filter", &doc! { key: 1 }).unwrap_err();
    assert!(error.message.len() < 500, "{}", error.message);
    let error = check_filter("filter", &doc! { format!("$_internal{}", "x".repeat(10_000)): 1 }).unwrap_err();
    assert!(error.message.len() < 500, "{}", error.message);
}

#[test]
fn wide_and_long_requests_are_checked_in_linear_time() {
    let wide = doc! { "$or": vec![doc! { "a": 1 }; 20_000] };
    check_filter("filter", &wide).unwrap();
    // So many operators in one key, of which the last is refused.
    let dotted = "$a.".repeat(300_000);
    check_filter("filter", &doc! { &dotted: 1 }).unwrap();
    let error = check_filter("filter", &doc! { dotted + "$where": 1 }).unwrap_err();
    assert_eq!(error.details["operator"], "$where");
    assert!(error.message.len() < 1000);
    let stages = vec![Bson::from(doc! { "$match": {} }); 20_000];
    check_pipeline("pipeline", &stages, Access::Read).unwrap_err();
    let unions = (0..30).fold(
        Bson::from(Vec::<Bson>::new()),
        |inner, _| bson!([{ "$unionWith": { "coll": "c", "pipeline": inner } }]),
    );
    check_pipeline("pipeline", unions.as_array().unwrap(), Access::Read).unwrap();
}
