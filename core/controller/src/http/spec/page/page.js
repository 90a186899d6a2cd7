// Shows the description of the API that this controller serves, and sends requests to it. Everything that comes from outside is put into
// the page as text (textContent), never as markup.
"use strict";

const VERBS = ["get", "post", "put", "patch", "delete", "options"];
let api = {};

/** An element with attributes and what is in it: elements, or texts that stay texts. */
function make(name, attributes, ...inside) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
        if (key === "class") element.className = value;
        else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
        else element.setAttribute(key, value);
    }
    for (const one of inside.flat()) {
        if (one === null || one === undefined) continue;
        element.append(one instanceof Node ? one : document.createTextNode(String(one)));
    }
    return element;
}

/** What a reference means, and its name. */
function resolve(value) {
    if (!value || typeof value.$ref !== "string") return [value, null];
    const parts = value.$ref.replace(/^#\//, "").split("/").map((part) => part.replace(/~1/g, "/").replace(/~0/g, "~"));
    return [parts.reduce((at, part) => (at || {})[part], api), parts[parts.length - 1]];
}

/** A schema in a few words. */
function words(schema, depth = 0) {
    if (schema === true || !schema || depth > 4) return "any";
    const [meant, name] = resolve(schema);
    if (name) return name;
    const choices = meant.anyOf || meant.oneOf;
    if (choices) return choices.map((one) => words(one, depth + 1)).join(" or ");
    if (meant.enum) return meant.enum.map((one) => JSON.stringify(one)).join(" | ");
    const kinds = [].concat(meant.type || "any");
    return kinds.map((kind) => {
        if (kind === "array") return "list of " + words(meant.items, depth + 1);
        if (kind === "object" && meant.additionalProperties && !meant.properties) return "map of " + words(meant.additionalProperties, depth + 1);
        return kind === "string" && meant.format ? `string (${meant.format})` : kind;
    }).join(" or ");
}

/** The members of a schema, those of named ones opened on demand. */
function members(schema, seen = []) {
    const [meant, name] = resolve(schema);
    if (!meant || meant === true || (name && seen.includes(name))) return null;
    const known = name ? [...seen, name] : seen;
    const choices = meant.anyOf || meant.oneOf;
    if (choices) return make("div", {}, choices.map((one) => [words(one), members(one, known)]).flat());
    const inner = meant.items || (meant.properties ? null : meant.additionalProperties);
    if (inner && typeof inner === "object") return members(inner, known);
    if (!meant.properties) return null;
    const needed = meant.required || [];
    const rows = Object.entries(meant.properties).map(([key, value]) => {
        const about = typeof value === "object" ? value.description || "" : "";
        const cell = make("td", {}, about);
        const [target, below] = resolve(innermost(value));
        if (below && target && target.properties && !known.includes(below)) {
            const open = make("details", {}, make("summary", {}, below));
            open.addEventListener("toggle", () => {
                if (open.open && open.children.length === 1) open.append(make("div", { class: "members" }, members(target, [...known, below])));
            });
            cell.append(open);
        }
        return make("tr", {}, make("td", {}, make("code", {}, key), needed.includes(key) ? "" : " (maybe)"), make("td", {}, words(value)), cell);
    });
    return make("table", {}, rows);
}

function innermost(schema) {
    let at = schema;
    for (let depth = 0; depth < 6 && at && typeof at === "object" && !at.$ref; depth += 1) {
        const next = at.items || at.additionalProperties || (at.anyOf || []).find((one) => one.$ref);
        if (!next || typeof next !== "object") break;
        at = next;
    }
    return at;
}

/** A small document that fits a schema, to begin with. */
function sample(schema, depth = 0) {
    const [meant] = resolve(schema);
    if (!meant || meant === true || depth > 3) return null;
    const kind = [].concat(meant.type || [])[0];
    if (meant.enum) return meant.enum[0];
    if (meant.properties) return Object.fromEntries(Object.entries(meant.properties).map(([key, value]) => [key, sample(value, depth + 1)]));
    return { string: "", integer: 0, number: 0, boolean: false, array: [], object: {} }[kind] ?? null;
}

function content(holder) {
    const [media, inside] = Object.entries((holder && holder.content) || {})[0] || [];
    return media ? [media, inside.schema] : [null, null];
}

function tryIt(verb, path, operation) {
    const fields = [];
    const rows = (operation.parameters || []).map((parameter) => {
        const field = make("input", { placeholder: parameter.required ? "needed" : "" });
        fields.push([parameter, field]);
        const what = `${parameter.in}, ${words(parameter.schema)}`;
        return make("tr", {}, make("td", {}, make("code", {}, parameter.name)), make("td", {}, field), make("td", {}, what), make("td", {}, parameter.description || ""));
    });
    const [, schema] = content(operation.requestBody);
    const body = schema ? make("textarea", { spellcheck: "false" }) : null;
    const told = make("pre", { hidden: "" });
    const send = async () => {
        let target = path;
        const query = new URLSearchParams();
        for (const [parameter, field] of fields) {
            if (parameter.in === "path") {
                const keep = parameter["x-berth-slashes"] ? field.value.split("/").map(encodeURIComponent).join("/") : encodeURIComponent(field.value);
                target = target.replace(`{${parameter.name}}`, () => keep);
            } else if (field.value !== "") {
                const values = parameter.schema.type === "array" ? field.value.split(",") : [field.value];
                values.forEach((value) => query.append(parameter.name, value.trim()));
            }
        }
        const headers = {};
        const token = document.getElementById("token").value;
        if (token) headers.Authorization = `Bearer ${token}`;
        if (body && body.value.trim()) headers["Content-Type"] = "application/json";
        const text = query.toString();
        told.hidden = false;
        told.textContent = "…";
        try {
            const answer = await fetch(text ? `${target}?${text}` : target, {
                method: verb.toUpperCase(), headers, credentials: "omit", body: body && body.value.trim() ? body.value : undefined,
            });
            told.textContent = `${answer.status} ${answer.statusText}\n\n` + pretty(await answer.text());
        } catch (error) {
            told.textContent = `The request was not answered: ${error}`;
        }
    };
    const fill = () => { body.value = JSON.stringify(sample(schema), null, 2); };
    const streams = Object.values(operation.responses).some((reply) => content(resolve(reply)[0])[0] === "text/event-stream");
    const button = streams ? make("p", {}, "A stream has no end: follow it with a program, e.g. curl -N.") : make("button", { type: "button", onclick: send }, "Send");
    const parts = [make("h3", {}, "Request"), rows.length ? make("table", {}, rows) : null];
    if (body) {
        parts.push(make("h3", {}, `Body: ${words(schema)}${operation.requestBody.required ? "" : " (may be left out)"}`), members(schema), body);
        parts.push(make("p", {}, make("button", { type: "button", onclick: fill }, "Fill in"), " ", button));
    } else {
        parts.push(make("p", {}, button));
    }
    return make("div", {}, parts, told);
}

function pretty(text) {
    try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function replies(operation) {
    return Object.entries(operation.responses).map(([status, reply]) => {
        const [meant] = resolve(reply);
        const [media, schema] = content(meant);
        const what = schema && media === "application/json" ? words(schema) : media || "nothing";
        const inside = schema && Number(status) < 400 ? members(schema) : null;
        return make("div", {}, make("h3", {}, `${status}: ${what}`), make("div", {}, meant.description || ""), inside);
    });
}

function operation(verb, path, described) {
    const absent = described["x-berth-available"] === false;
    const box = make("details", { class: absent ? "absent" : "" },
        make("summary", {}, make("span", { class: "verb" }, verb.toUpperCase()), make("span", { class: "path" }, path),
            make("span", { class: "help" }, described.summary || ""), absent ? make("span", { class: "mark" }, "not available here") : null));
    // What is inside is made when it is looked at: there are many operations.
    box.addEventListener("toggle", () => {
        if (box.open && box.children.length === 1) box.append(make("div", {}, tryIt(verb, path, described), replies(described)));
    });
    box.dataset.words = `${verb} ${path} ${described.summary || ""}`.toLowerCase();
    return box;
}

function show() {
    document.getElementById("title").textContent = `${api.info.title} ${api.info.version}: REST API`;
    document.getElementById("about").textContent = api.info.description;
    const [nav, main] = [document.getElementById("groups"), document.getElementById("operations")];
    for (const group of api.tags) {
        const boxes = [];
        for (const [path, item] of Object.entries(api.paths)) {
            for (const verb of VERBS) {
                if (item[verb] && item[verb].tags.includes(group.name)) boxes.push(operation(verb, path, item[verb]));
            }
        }
        const id = `group-${nav.children.length}`;
        nav.append(make("a", { href: `#${id}` }, group.name));
        main.append(make("section", { id }, make("h2", {}, group.name), make("p", {}, group.description), boxes));
    }
    document.getElementById("find").addEventListener("input", (event) => {
        const wanted = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
        for (const section of main.children) {
            const boxes = [...section.querySelectorAll(":scope > details")];
            boxes.forEach((box) => { box.hidden = !wanted.every((word) => box.dataset.words.includes(word)); });
            section.hidden = boxes.every((box) => box.hidden);
        }
    });
}

fetch("/openapi.json", { credentials: "omit" })
    .then((answer) => answer.json())
    .then((document) => { api = document; show(); })
    .catch((error) => { document.getElementById("about").textContent = `The description cannot be shown: ${error}`; });
