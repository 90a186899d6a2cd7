/* The world berth:provider@0.1.0 (plugin-sdk/wit/provider/provider.wit) for C, written by hand against the canonical ABI of components.
 *
 * Records are structs, lists and strings are pointer and length, variants are a tag and a union: the canonical ABI lays them out as C does
 * on wasm32. An answer that does not fit one value is written to a place in memory, whose address is handed over. */
#ifndef BERTH_H
#define BERTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct { const char *at; uint32_t len; } str;
#define STR(text) ((str){ text, sizeof(text) - 1 })
#define LIST(T) struct { T *at; uint32_t len; }
#define OPTION(T) struct { uint8_t some; T value; }
#define RESULT(T, E) struct { uint8_t failed; union { T ok; E error; } u; }

typedef LIST(str) strings;
typedef struct { uint64_t high, low; } id;
typedef struct { char nothing[0]; } unit;

/* types */
enum { IN_USE, NO_SPACE, UNSUPPORTED, FOREIGN, LOST, POOL, TOOL, TIMEOUT, BUG };
typedef struct { uint8_t kind; str message, cause, correction, details; } fault;
typedef struct { str key, value; } setting;
typedef struct { str name, kind, place; LIST(setting) props; } pool;
typedef struct { uint64_t total, free; } space;
typedef struct { str path; uint64_t size; } device;
enum { VOLUME, SNAPSHOT };
typedef struct { uint8_t kind; id cluster, generation, content; str name; } mark;
typedef struct { str name, suffix; OPTION(str) of; mark mark; } new_object;
typedef struct { str name; OPTION(str) of; id cluster, generation; } known;
enum { BY, UNMARKED, ALIEN };
typedef struct { uint8_t tag; union { mark by; str alien; } u; } marked;
typedef struct { str name; marked marked; uint64_t size, allocated; OPTION(device) device; } found;
enum { DATA_FILE, DATA_DEVICE };
typedef struct { uint8_t tag; str at; } data;
enum { DONE, COPY, PIPE };
typedef struct { uint8_t tag; union { struct { data from, to; } copy; struct { strings sender, receiver; } pipe; } u; } filled;
typedef struct { str format; strings argv; } data_stream;
typedef struct { uint64_t extent; OPTION(fault) no_snapshots; bool zeroes; } abilities;
typedef struct { uint32_t memory_mib, seconds, output_kib; } limits;
typedef struct { uint8_t tag; union { uint32_t text; struct { uint64_t least, most; } number; strings one_of; } u; } rule;
typedef struct { str key, help; rule rule; } property;
typedef struct {
    str name, version, contract;
    strings kinds, commands;
    bool files;
    strings devices, paths;
    limits limits;
    LIST(property) props;
} manifest;

/* files */
enum { THIN, THICK };
enum { OVER_NOTHING, OVER_EXISTING };
typedef struct { str name; uint64_t size, allocated; OPTION(str) mark; } seen;
enum { F_MISSING, F_EXISTS, F_BAD_NAME, F_NO_SPACE, F_NOT_SUPPORTED, F_BUSY, F_SYSTEM, F_FAULT };
typedef struct { uint8_t tag; union { str name; struct { str request, name, cause; } refusal; fault fault; } u; } file_error;

typedef RESULT(unit, fault) answer;
typedef RESULT(unit, file_error) file_answer;
typedef RESULT(LIST(seen), file_error) list_answer;
typedef RESULT(OPTION(seen), file_error) look_answer;
typedef RESULT(space, file_error) space_answer;
typedef RESULT(OPTION(device), file_error) device_answer;
typedef RESULT(device, file_error) attach_answer;

#define IMPORT(interface, function) __attribute__((import_module("berth:provider/" interface "@0.1.0"), import_name(function)))
#define EXPORT(function) __attribute__((export_name("berth:provider/calls@0.1.0#" function)))
/* Called by the host when it has read an answer. */
#define AFTER(function) __attribute__((export_name("cabi_post_berth:provider/calls@0.1.0#" function)))

IMPORT("machine", "get-pool") void machine_pool(pool *out);
IMPORT("machine", "log") void machine_log(const char *at, uint32_t len);
IMPORT("files", "open") void files_open(answer *out);
IMPORT("files", "list-all") void files_list(list_answer *out);
IMPORT("files", "look") void files_look(const char *, uint32_t, look_answer *out);
IMPORT("files", "create") void files_create(const char *, uint32_t, uint64_t size, uint32_t fill, const char *mark, uint32_t, file_answer *out);
IMPORT("files", "grow") void files_grow(const char *, uint32_t, uint64_t size, uint32_t fill, file_answer *out);
IMPORT("files", "rename") void files_rename(const char *, uint32_t, const char *, uint32_t, uint32_t over, file_answer *out);
IMPORT("files", "remove") void files_remove(const char *, uint32_t, file_answer *out);
IMPORT("files", "sync") void files_sync(const char *, uint32_t, file_answer *out);
IMPORT("files", "sync-all") void files_sync_all(file_answer *out);
IMPORT("files", "get-space") void files_space(space_answer *out);
IMPORT("files", "get-device") void files_device(const char *, uint32_t, device_answer *out);
IMPORT("files", "attach") void files_attach(const char *, uint32_t, uint32_t fill, attach_answer *out);
IMPORT("files", "detach") void files_detach(const char *, uint32_t, file_answer *out);
IMPORT("files", "resized") void files_resized(const char *, uint32_t, file_answer *out);

/* A call has a heap of its own, which ends with it. */
void *take(uint32_t size);

#endif
