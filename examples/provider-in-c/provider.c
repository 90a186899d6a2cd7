/* A provider of volumes in C: each volume is a thin file in the pool's folder. What the calls promise is said in
 * docs/writing-a-provider.md; that the promises hold is checked by `berth plugin check`. No library, not even C's, is linked. */
#include "berth.h"

/* ---- memory: everything that a call needs is given back at its end ---- */

extern unsigned char __heap_base;
static uint32_t heap_at;

void *memcpy(void *to, const void *from, size_t size) {
    for (size_t at = 0; at < size; at++) ((char *)to)[at] = ((const char *)from)[at];
    return to;
}

void *memset(void *to, int value, size_t size) {
    for (size_t at = 0; at < size; at++) ((char *)to)[at] = (char)value;
    return to;
}

void *take(uint32_t size) {
    if (heap_at == 0) heap_at = (uint32_t)&__heap_base;
    uint32_t at = (heap_at + 15u) & ~15u;
    if (size > 0x4000000u) __builtin_trap();
    uint32_t end = at + size, pages = (uint32_t)__builtin_wasm_memory_size(0);
    uint32_t needed = (end >> 16) + 1;
    if (needed > pages && __builtin_wasm_memory_grow(0, needed - pages) == (size_t)-1) __builtin_trap();
    heap_at = end;
    return memset((void *)at, 0, size);
}

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
    (void)align;
    void *fresh = take(size);
    return old_size ? memcpy(fresh, old, old_size < size ? old_size : size) : fresh;
}

static void ended(void) { heap_at = 0; }

#define NEW(T) ((T *)take(sizeof(T)))

/* ---- text ---- */

static bool same(str one, str other) {
    if (one.len != other.len) return false;
    for (uint32_t at = 0; at < one.len; at++)
        if (one.at[at] != other.at[at]) return false;
    return true;
}

static str join(uint32_t count, const str *parts) {
    uint32_t len = 0, at = 0;
    for (uint32_t part = 0; part < count; part++) len += parts[part].len;
    char *text = take(len ? len : 1);
    for (uint32_t part = 0; part < count; part++) {
        memcpy(text + at, parts[part].at, parts[part].len);
        at += parts[part].len;
    }
    return (str){ text, len };
}
#define JOIN(...) join(sizeof((str[]){ __VA_ARGS__ }) / sizeof(str), (str[]){ __VA_ARGS__ })

static bool ends_with(str text, str end, str *stem) {
    if (text.len <= end.len || !same((str){ text.at + text.len - end.len, end.len }, end)) return false;
    *stem = (str){ text.at, text.len - end.len };
    return true;
}

/* Names of backing objects: letters, digits, '_', '-', '.', '@', '+', at most 127, the first a letter, a digit or '_'. */
static bool is_name(str text) {
    if (text.len == 0 || text.len > 127) return false;
    for (uint32_t at = 0; at < text.len; at++) {
        char c = text.at[at];
        bool head = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (!head && (at == 0 || !(c == '-' || c == '.' || c == '@' || c == '+'))) return false;
    }
    return true;
}

/* ---- marks: berth1:<v|s>:<cluster>:<generation>:<content>:<name> ---- */

static bool same_id(id one, id other) { return one.high == other.high && one.low == other.low; }

static str render_id(id value) {
    char *text = take(36);
    for (uint32_t at = 0, digit = 0; at < 36; at++) {
        if (at == 8 || at == 13 || at == 18 || at == 23) {
            text[at] = '-';
            continue;
        }
        uint64_t half = digit < 16 ? value.high : value.low;
        text[at] = "0123456789abcdef"[(half >> (60 - 4 * (digit % 16))) & 15];
        digit++;
    }
    return (str){ text, 36 };
}

static bool read_id(str *text, id *out) {
    if (text->len < 37 || text->at[36] != ':') return false;
    *out = (id){ 0, 0 };
    for (uint32_t at = 0, digit = 0; at < 36; at++) {
        char c = text->at[at];
        if (at == 8 || at == 13 || at == 18 || at == 23) {
            if (c != '-') return false;
            continue;
        }
        uint64_t value = c >= '0' && c <= '9' ? (uint64_t)(c - '0') : c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a' + 10) : 16;
        if (value > 15) return false;
        uint64_t *half = digit++ < 16 ? &out->high : &out->low;
        *half = *half << 4 | value;
    }
    *text = (str){ text->at + 37, text->len - 37 };
    return true;
}

static str render(const mark *of) {
    return JOIN(of->kind == SNAPSHOT ? STR("berth1:s:") : STR("berth1:v:"), render_id(of->cluster), STR(":"), render_id(of->generation),
                STR(":"), render_id(of->content), STR(":"), of->name);
}

static marked read_mark(const seen *file) {
    marked out = { .tag = UNMARKED };
    if (!file->mark.some) return out;
    str text = file->mark.value, rest = { text.at + 9, text.len < 9 ? 0 : text.len - 9 };
    bool volume = text.len > 9 && same((str){ text.at, 9 }, STR("berth1:v:"));
    bool snapshot = text.len > 9 && same((str){ text.at, 9 }, STR("berth1:s:"));
    mark by = { .kind = snapshot ? SNAPSHOT : VOLUME };
    if ((volume || snapshot) && read_id(&rest, &by.cluster) && read_id(&rest, &by.generation) && read_id(&rest, &by.content)) {
        by.name = rest;
        return (marked){ .tag = BY, .u.by = by };
    }
    return (marked){ .tag = ALIEN, .u.alien = JOIN(STR("its mark is of no version that is known: "), text) };
}

/* ---- faults ---- */

static pool here(void) {
    pool of;
    machine_pool(&of);
    return of;
}

static fault make_fault(uint8_t kind, str message, str cause, str correction) {
    return (fault){ kind, JOIN(message, STR(" in storage pool '"), here().name, STR("'")), cause, correction, STR("") };
}

static fault of_file(const file_error *error) {
    switch (error->tag) {
    case F_MISSING:
        return make_fault(LOST, STR("A file is missing"), JOIN(STR("There is no '"), error->u.name, STR("'")), STR("Restore it from a backup, or delete the resource"));
    case F_EXISTS:
        return make_fault(FOREIGN, STR("A file is in the way"), JOIN(STR("There is already a '"), error->u.name, STR("'")), STR("Move it away"));
    case F_NO_SPACE:
        return make_fault(NO_SPACE, STR("No space is left"), JOIN(STR("It would be needed for '"), error->u.name, STR("'")), STR("Enlarge the file system, or delete what is not needed"));
    case F_BUSY:
        return make_fault(IN_USE, STR("A device is in use"), JOIN(STR("It serves '"), error->u.name, STR("'")), STR("End the program that has it open"));
    case F_FAULT:
        return error->u.fault;
    case F_BAD_NAME:
        return make_fault(BUG, STR("A file name cannot be used"), error->u.name, STR("Tell the author of this provider"));
    default:
        return make_fault(error->tag == F_NOT_SUPPORTED ? UNSUPPORTED : TOOL, STR("A file request failed"), error->u.refusal.cause, STR("Look at the pool's file system"));
    }
}

static fault foreign(str file, str why) {
    return make_fault(FOREIGN, JOIN(STR("File '"), file, STR("' is not the object that is meant")), why, STR("Move it away; whose data it is is not known"));
}

static fault no_snapshots(void) {
    return make_fault(UNSUPPORTED, STR("No snapshots are taken"), STR("This provider is an example, which does not do it"), STR("Use a storage pool of another kind"));
}

/* Leaves the call with a fault. */
#define FAIL(out, what) do { (out)->failed = 1; (out)->u.error = (what); return (out); } while (0)
/* One request; leaves the call if it fails. */
#define NEED(out, request) do { file_answer got_; request; if (got_.failed) FAIL(out, of_file(&got_.u.error)); } while (0)
#define ARG(text) (text).at, (text).len

/* ---- volumes ---- */

static str finished(str name) { return JOIN(name, STR(".cvol")); }
static str begun(str name) { return JOIN(name, STR(".cvol-begun")); }

/* Whether a file of a temporary name was left by this cluster; one without mark and length holds nothing. */
static bool is_left(const seen *file, id cluster) {
    marked of = read_mark(file);
    return of.tag == BY ? same_id(of.u.by.cluster, cluster) : of.tag == UNMARKED && file->size == 0;
}

typedef RESULT(OPTION(seen), fault) find_answer;

static find_answer *look_at(str file) {
    find_answer *out = NEW(find_answer);
    answer open;
    files_open(&open);
    if (open.failed) FAIL(out, open.u.error);
    look_answer got;
    files_look(ARG(file), &got);
    if (got.failed) FAIL(out, of_file(&got.u.error));
    out->u.ok.some = got.u.ok.some;
    if (got.u.ok.some) out->u.ok.value = got.u.ok.value;
    return out;
}

/* The file of a volume, if it is there. One without the right mark is never touched. */
static find_answer *find(str name, id cluster, id generation) {
    str file = finished(name);
    find_answer *out = look_at(file);
    if (out->failed || !out->u.ok.some) return out;
    marked of = read_mark(&out->u.ok.value);
    if (of.tag == BY && same_id(of.u.by.cluster, cluster) && same_id(of.u.by.generation, generation)) return out;
    FAIL(out, foreign(file, of.tag == BY ? JOIN(STR("it is marked as "), render(&of.u.by)) : of.tag == ALIEN ? of.u.alien : STR("it carries no mark")));
}

static find_answer *must_be(known volume) {
    find_answer *out = find(volume.name, volume.cluster, volume.generation);
    if (out->failed || out->u.ok.some) return out;
    file_error missing = { .tag = F_MISSING, .u.name = finished(volume.name) };
    FAIL(out, of_file(&missing));
}

static answer *grow_to(known volume, uint64_t size) {
    answer *out = NEW(answer);
    find_answer *there = must_be(volume);
    if (there->failed) FAIL(out, there->u.error);
    str file = finished(volume.name);
    if (there->u.ok.value.size < size) {
        NEED(out, files_grow(ARG(file), size, THIN, &got_));
        NEED(out, files_sync(ARG(file), &got_));
    }
    NEED(out, files_resized(ARG(file), &got_));
    return out;
}

/* Makes a file under its temporary name, in place of one that an interrupted call left. */
static answer *begin(const new_object *new, uint64_t size) {
    answer *out = NEW(answer);
    str file = begun(new->name), text = render(&new->mark);
    find_answer *left = look_at(file);
    if (left->failed) FAIL(out, left->u.error);
    if (left->u.ok.some) {
        if (!is_left(&left->u.ok.value, new->mark.cluster)) FAIL(out, foreign(file, STR("its name is needed for a while")));
        NEED(out, files_remove(ARG(file), &got_));
    }
    NEED(out, files_create(ARG(file), size, THIN, ARG(text), &got_));
    return out;
}

/* Gives a file its name, once it survives a power cut. */
static answer *finish(const new_object *new) {
    answer *out = NEW(answer);
    str from = begun(new->name), to = finished(new->name);
    NEED(out, files_sync(ARG(from), &got_));
    NEED(out, files_rename(ARG(from), ARG(to), OVER_NOTHING, &got_));
    NEED(out, files_sync(ARG(to), &got_));
    return out;
}

static known known_of(const new_object *new) { return (known){ .name = new->name, .cluster = new->mark.cluster, .generation = new->mark.generation }; }

/* ---- the calls; records arrive as their fields where they are few, else by address ---- */

#define KNOWN const char *name_at, uint32_t name_len, uint32_t of_some, const char *of_at, uint32_t of_len, uint64_t cluster_high, uint64_t cluster_low, uint64_t generation_high, uint64_t generation_low
#define THE_KNOWN ((known){ { name_at, name_len }, { (uint8_t)of_some, { of_at, of_len } }, { cluster_high, cluster_low }, { generation_high, generation_low } })
#define NEW_OBJECT const char *name_at, uint32_t name_len, const char *suffix_at, uint32_t suffix_len, uint32_t of_some, const char *of_at, uint32_t of_len, uint32_t kind, uint64_t cluster_high, \
    uint64_t cluster_low, uint64_t generation_high, uint64_t generation_low, uint64_t content_high, uint64_t content_low, const char *label_at, uint32_t label_len
#define THE_NEW ((new_object){ { name_at, name_len }, { suffix_at, suffix_len }, { (uint8_t)of_some, { of_at, of_len } }, { (uint8_t)kind, { cluster_high, cluster_low }, \
    { generation_high, generation_low }, { content_high, content_low }, { label_at, label_len } } })

EXPORT("describe") manifest *describe(void) {
    manifest *out = NEW(manifest);
    str *kinds = take(sizeof(str));
    *kinds = STR("PLUGIN");
    *out = (manifest){ .name = STR("example-in-c"), .version = STR("0.1.0"), .contract = STR("0.1"), .kinds = { kinds, 1 }, .files = true,
                       .limits = { 16, 10, 64 } };
    return out;
}

typedef RESULT(abilities, fault) probe_answer;
EXPORT("probe") probe_answer *probe(void) {
    probe_answer *out = NEW(probe_answer);
    answer open;
    files_open(&open);
    if (open.failed) FAIL(out, open.u.error);
    out->u.ok.extent = 4;
    out->u.ok.no_snapshots.some = 1;
    out->u.ok.no_snapshots.value = no_snapshots();
    out->u.ok.zeroes = true;
    return out;
}

typedef RESULT(strings, fault) clean_answer;
EXPORT("clean") clean_answer *clean(uint64_t high, uint64_t low) {
    clean_answer *out = NEW(clean_answer);
    answer open;
    files_open(&open);
    if (open.failed) FAIL(out, open.u.error);
    list_answer all;
    files_list(&all);
    if (all.failed) FAIL(out, of_file(&all.u.error));
    out->u.ok.at = take((all.u.ok.len + 1) * (uint32_t)sizeof(str));
    for (uint32_t at = 0; at < all.u.ok.len; at++) {
        seen *file = &all.u.ok.at[at];
        str stem;
        if (!ends_with(file->name, STR(".cvol-begun"), &stem) || !is_name(stem) || !is_left(file, (id){ high, low })) continue;
        NEED(out, files_remove(ARG(file->name), &got_));
        out->u.ok.at[out->u.ok.len++] = file->name;
    }
    NEED(out, files_sync_all(&got_));
    return out;
}

typedef RESULT(space, fault) get_space_answer;
EXPORT("get-space") get_space_answer *get_space(void) {
    get_space_answer *out = NEW(get_space_answer);
    answer open;
    files_open(&open);
    if (open.failed) FAIL(out, open.u.error);
    space_answer got;
    files_space(&got);
    if (got.failed) FAIL(out, of_file(&got.u.error));
    out->u.ok = got.u.ok;
    return out;
}

static fault *describe_found(str name, const seen *file, found *out) {
    device_answer got;
    files_device(ARG(file->name), &got);
    if (got.failed) {
        fault *why = NEW(fault);
        *why = of_file(&got.u.error);
        return why;
    }
    *out = (found){ .name = name, .marked = read_mark(file), .size = file->size, .allocated = file->allocated };
    out->device.some = got.u.ok.some;
    if (got.u.ok.some) out->device.value = got.u.ok.value;
    return NULL;
}

typedef RESULT(LIST(found), fault) list_all_answer;
EXPORT("list-all") list_all_answer *list_all(void) {
    list_all_answer *out = NEW(list_all_answer);
    answer open;
    files_open(&open);
    if (open.failed) FAIL(out, open.u.error);
    list_answer all;
    files_list(&all);
    if (all.failed) FAIL(out, of_file(&all.u.error));
    out->u.ok.at = take((all.u.ok.len + 1) * (uint32_t)sizeof(found));
    for (uint32_t at = 0; at < all.u.ok.len; at++) {
        str stem;
        if (!ends_with(all.u.ok.at[at].name, STR(".cvol"), &stem) || !is_name(stem)) continue;
        fault *why = describe_found(stem, &all.u.ok.at[at], &out->u.ok.at[out->u.ok.len]);
        if (why) FAIL(out, *why);
        out->u.ok.len++;
    }
    return out;
}

typedef RESULT(OPTION(found), fault) look_one_answer;
EXPORT("look") look_one_answer *look(const char *name_at, uint32_t name_len, uint32_t of_some, const char *of_at, uint32_t of_len) {
    (void)of_some, (void)of_at, (void)of_len;
    look_one_answer *out = NEW(look_one_answer);
    find_answer *there = look_at(finished((str){ name_at, name_len }));
    if (there->failed) FAIL(out, there->u.error);
    if (!there->u.ok.some) return out;
    fault *why = describe_found((str){ name_at, name_len }, &there->u.ok.value, &out->u.ok.value);
    if (why) FAIL(out, *why);
    out->u.ok.some = 1;
    return out;
}

typedef struct { new_object new; uint64_t size; } create_arguments;
EXPORT("create") answer *create(const create_arguments *of) {
    answer *out = NEW(answer);
    new_object new = of->new;
    find_answer *there = find(new.name, new.mark.cluster, new.mark.generation);
    if (there->failed) FAIL(out, there->u.error);
    if (!there->u.ok.some) {
        answer *step = begin(&new, of->size);
        if (!step->failed) step = finish(&new);
        if (step->failed) return step;
    }
    return grow_to(known_of(&new), of->size);
}

EXPORT("grow") answer *grow(KNOWN, uint64_t size) { return grow_to(THE_KNOWN, size); }

static answer *remove_volume(known volume) {
    answer *out = NEW(answer);
    find_answer *there = find(volume.name, volume.cluster, volume.generation);
    if (there->failed) FAIL(out, there->u.error);
    if (!there->u.ok.some) return out;
    str file = finished(volume.name);
    NEED(out, files_detach(ARG(file), &got_));
    NEED(out, files_remove(ARG(file), &got_));
    NEED(out, files_sync(ARG(file), &got_));
    return out;
}

EXPORT("delete") answer *delete(KNOWN) { return remove_volume(THE_KNOWN); }

EXPORT("delete-snapshot") answer *delete_snapshot(KNOWN) {
    return remove_volume(THE_KNOWN);
}

static answer *refuse(void) {
    answer *out = NEW(answer);
    FAIL(out, no_snapshots());
}

EXPORT("snapshot") answer *snapshot(const void *arguments) { (void)arguments; return refuse(); }
EXPORT("rollback") answer *rollback(const void *arguments) { (void)arguments; return refuse(); }

typedef RESULT(filled, fault) fill_answer;
EXPORT("restore") fill_answer *restore(const void *arguments) {
    (void)arguments;
    fill_answer *out = NEW(fill_answer);
    FAIL(out, no_snapshots());
}

typedef struct { known volume; new_object new; uint64_t size; } clone_arguments;
EXPORT("clone-volume") fill_answer *clone_volume(const clone_arguments *of) {
    fill_answer *out = NEW(fill_answer);
    find_answer *there = find(of->new.name, of->new.mark.cluster, of->new.mark.generation);
    if (there->failed) FAIL(out, there->u.error);
    if (there->u.ok.some) {
        answer *grown = grow_to(known_of(&of->new), of->size);
        if (grown->failed) FAIL(out, grown->u.error);
        out->u.ok.tag = DONE;
        return out;
    }
    find_answer *source = must_be(of->volume);
    if (source->failed) FAIL(out, source->u.error);
    uint64_t least = source->u.ok.value.size;
    answer *step = begin(&of->new, of->size > least ? of->size : least);
    if (step->failed) FAIL(out, step->u.error);
    out->u.ok.tag = COPY;
    out->u.ok.u.copy.from = (data){ DATA_FILE, finished(of->volume.name) };
    out->u.ok.u.copy.to = (data){ DATA_FILE, begun(of->new.name) };
    return out;
}

EXPORT("finish-copy") answer *finish_copy(NEW_OBJECT) {
    answer *out = NEW(answer);
    new_object new = THE_NEW;
    find_answer *there = find(new.name, new.mark.cluster, new.mark.generation);
    if (there->failed) FAIL(out, there->u.error);
    if (there->u.ok.some) return out;
    str file = begun(new.name);
    find_answer *copy = look_at(file);
    if (copy->failed) FAIL(out, copy->u.error);
    if (!copy->u.ok.some) {
        file_error missing = { .tag = F_MISSING, .u.name = file };
        FAIL(out, of_file(&missing));
    }
    seen *left = &copy->u.ok.value;
    if (!left->mark.some || !same(left->mark.value, render(&new.mark))) FAIL(out, foreign(file, STR("it is not the copy that was begun")));
    return finish(&new);
}

EXPORT("adopt") answer *adopt(const create_arguments *of) {
    (void)of;
    answer *out = NEW(answer);
    FAIL(out, make_fault(UNSUPPORTED, STR("Nothing is adopted"), STR("This provider is an example, which does not do it"), STR("Copy the data into a new volume")));
}

typedef RESULT(data_stream, fault) stream_answer;
static stream_answer *no_streams(void) {
    stream_answer *out = NEW(stream_answer);
    FAIL(out, no_snapshots());
}
EXPORT("send") stream_answer *send(const void *arguments) { (void)arguments; return no_streams(); }
EXPORT("receive") stream_answer *receive(const void *arguments) { (void)arguments; return no_streams(); }

typedef RESULT(device, fault) attach_one_answer;
EXPORT("attach") attach_one_answer *attach(KNOWN) {
    attach_one_answer *out = NEW(attach_one_answer);
    find_answer *there = must_be(THE_KNOWN);
    if (there->failed) FAIL(out, there->u.error);
    str file = finished((str){ name_at, name_len });
    attach_answer got;
    files_attach(ARG(file), THIN, &got);
    if (got.failed) FAIL(out, of_file(&got.u.error));
    out->u.ok = got.u.ok;
    return out;
}

EXPORT("detach") answer *detach(KNOWN) {
    answer *out = NEW(answer);
    known volume = THE_KNOWN;
    find_answer *there = find(volume.name, volume.cluster, volume.generation);
    if (there->failed) FAIL(out, there->u.error);
    str file = finished((str){ name_at, name_len });
    if (there->u.ok.some) NEED(out, files_detach(ARG(file), &got_));
    return out;
}

/* ---- at the end of each call ---- */

#define ENDS(function, word) AFTER(word) void after_##function(void *out) { (void)out; ended(); }
ENDS(describe, "describe") ENDS(probe, "probe") ENDS(clean, "clean") ENDS(get_space, "get-space") ENDS(list_all, "list-all")
ENDS(look, "look") ENDS(create, "create") ENDS(grow, "grow") ENDS(delete, "delete") ENDS(snapshot, "snapshot")
ENDS(delete_snapshot, "delete-snapshot") ENDS(rollback, "rollback") ENDS(restore, "restore") ENDS(clone_volume, "clone-volume")
ENDS(send, "send") ENDS(receive, "receive") ENDS(finish_copy, "finish-copy") ENDS(adopt, "adopt") ENDS(attach, "attach") ENDS(detach, "detach")
