//! What is kept is what would be rendered anew, whatever happens in between; and little is rendered anew.

use std::io::Read;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::http::header;

use super::column::Column;
use super::index::{Index, Room};
use super::send::{Part, respond};
use super::world::World;

const LISTS: [Column; 4] = [Column::Resources, Column::Definitions, Column::WholeDefinitions, Column::Snapshots];

fn text(index: &Index, column: Column) -> String {
    let runs = index.runs().iter().map(|run| index.plain(run, column).unwrap().text.to_vec());
    String::from_utf8(runs.collect::<Vec<_>>().concat()).unwrap()
}

async fn body(index: &Arc<Index>, column: Column, gzip: bool) -> String {
    let parts = vec![Part::Text(b"[".as_slice().into()), Part::Column(column), Part::Text(b"]".as_slice().into())];
    let response = respond(Arc::clone(index), parts, "application/json", gzip);
    let (headers, length) = (response.headers().clone(), response.headers().get(header::CONTENT_LENGTH).cloned());
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    if let Some(length) = length {
        assert_eq!(length.to_str().unwrap(), bytes.len().to_string());
    }
    if !headers.contains_key(header::CONTENT_ENCODING) {
        return String::from_utf8(bytes.to_vec()).unwrap();
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*bytes).read_to_string(&mut text).expect("a gzip stream with a true checksum");
    text
}

#[tokio::test]
async fn what_is_kept_is_what_would_be_rendered() {
    for seed in 0..6 {
        let mut world = World::new(seed);
        (0..6).for_each(|node| world.put_node(node, node > 0));
        (0..3).for_each(|group| world.put_group(group));
        // From clusters of one run to some that grow and shrink over many.
        let definitions = [4, 60, 200][usize::try_from(seed % 3).unwrap()];
        let mut told = Vec::new();
        let mut index = Arc::new(Index::new(world.view(), &Room::new(usize::MAX)));
        for step in 0..60 {
            for _ in 0..world.dice.usize(1..[2, 3, 40][step % 3]) {
                told.push(world.happen(definitions));
            }
            index = Arc::new(index.advanced(world.view()));
            let fresh = Index::new(world.view(), &Room::new(0));
            for column in Column::ALL {
                assert_eq!(text(&index, column), text(&fresh, column), "seed {seed}, step {step}, {column:?}: {told:?}");
            }
            assert_eq!(index.unknown(), fresh.unknown(), "seed {seed}, step {step}: {told:?}");
            told.clear();
            if step % 20 > 0 {
                continue;
            }
            for column in LISTS {
                let whole = format!("[{}]", text(&fresh, column).strip_prefix(',').unwrap_or_default());
                let documents: Vec<serde_json::Value> = serde_json::from_str(&whole).unwrap();
                for gzip in [false, true] {
                    assert_eq!(body(&index, column, gzip).await, whole, "seed {seed}, step {step}, {column:?}, gzip: {gzip}");
                }
                for _ in 0..10 {
                    let (offset, limit) = (world.dice.usize(..=documents.len() + 1), world.dice.usize(1..90));
                    let page =
                        format!("[{}]", String::from_utf8(index.page(column, offset, limit).unwrap()).unwrap().trim_start_matches(','));
                    let page: Vec<serde_json::Value> = serde_json::from_str(&page).unwrap();
                    let wanted: Vec<_> = documents.iter().skip(offset).take(limit).cloned().collect();
                    assert_eq!(page, wanted, "seed {seed}, step {step}, {column:?}: {offset} {limit}");
                }
            }
        }
    }
}

/// How many runs of an index are not in another one.
fn new_runs(old: &Index, new: &Index) -> usize {
    new.runs().iter().filter(|run| !old.runs().iter().any(|known| Arc::ptr_eq(known, run))).count()
}

#[test]
fn unchanged_parts_are_not_rendered_again() {
    let mut world = World::large(3000, 30);
    let room = Room::new(usize::MAX);
    let index = Index::new(world.view(), &room);
    let runs = index.runs().len();
    assert!((80..200).contains(&runs), "{runs}");
    index.runs().iter().for_each(|run| assert!(index.plain(run, Column::Resources).unwrap().fresh));
    let taken = room.taken();

    let same = index.advanced(world.view());
    assert_eq!(new_runs(&index, &same), 0, "nothing happened");
    assert!(same.runs().iter().all(|run| !same.plain(run, Column::Resources).unwrap().fresh));

    world.see(500, 20, true);
    let seen = index.advanced(world.view());
    assert_eq!(new_runs(&index, &seen), 1, "one replica was seen");
    world.put_definition(2000, 0);
    world.put_replica(2000, 7, false);
    let made = seen.advanced(world.view());
    assert_eq!(new_runs(&seen, &made), 1, "one definition was made");
    let shared = |block| seen.runs().blocks().iter().any(|old| Arc::ptr_eq(old, block));
    let fresh = made.runs().blocks().iter().filter(|block| !shared(block)).count();
    assert!((1..=2).contains(&fresh), "{fresh} of {} blocks", made.runs().blocks().len());

    drop((index, same, seen));
    assert!(room.taken() < taken, "what nobody can send any more is not counted: {} of {taken}", room.taken());
    made.runs().iter().for_each(|run| drop(made.plain(run, Column::Resources).unwrap()));
    assert!(room.taken() > taken);
    drop(made);
    assert_eq!(room.taken(), 0);
}

#[tokio::test]
async fn what_finds_no_room_is_rendered_for_each_request() {
    let world = World::large(600, 6);
    let room = Room::new(100_000);
    let index = Arc::new(Index::new(world.view(), &room));
    let whole = body(&index, Column::Resources, false).await;
    assert!(whole.len() > 300_000, "{}", whole.len());
    let taken = room.taken();
    assert!((1..=100_000).contains(&taken), "{taken}");
    assert_eq!(body(&index, Column::Resources, true).await, whole);
    assert_eq!(body(&index, Column::Resources, false).await, whole);
    assert!(room.taken() <= 100_000);
}
