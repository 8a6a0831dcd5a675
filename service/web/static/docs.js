// The API's documentation, drawn from /openapi.json.

import { byId, element } from "./dom.js";

const description = await (await fetch("/openapi.json")).json();
const schemas = description.components.schemas;

function nameOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return [...new Set(schema.anyOf.map(nameOf))].join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((item) => JSON.stringify(item)).join(" or ");
  if (schema.type === "array") return `list of ${nameOf(schema.items)}`;
  return schema.title && schema.type === "object" && schema.properties ? schema.title : schema.type || "any";
}

function fields(schema) {
  const rows = Object.entries(schema.properties || {}).map(([name, field]) =>
    element(
      "tr",
      {},
      element("td", {}, element("code", {}, name), (schema.required || []).includes(name) ? " *" : ""),
      element("td", {}, nameOf(field)),
      element("td", {}, field.description || (field.default === undefined ? "" : `default ${JSON.stringify(field.default)}`)),
    ),
  );
  return element("table", {}, element("tbody", {}, ...rows));
}

function resolved(schema) {
  return schema.$ref ? schemas[nameOf(schema)] : schema;
}

function section(title, ...children) {
  return [element("h3", {}, title), ...children];
}

function route(path, method, operation) {
  const body = element("div", { class: "body" });
  if (operation.parameters) {
    const properties = Object.fromEntries(operation.parameters.map((item) => [item.name, { ...item.schema, description: item.description }]));
    const required = operation.parameters.filter((item) => item.required).map((item) => item.name);
    body.append(...section("Parameters", fields({ properties, required })));
  }
  for (const [type, content] of Object.entries(operation.requestBody?.content || {})) {
    for (const choice of content.schema.anyOf || [content.schema]) {
      body.append(...section(`Body: ${type}`, fields(resolved(choice))));
    }
  }
  for (const [status, reply] of Object.entries(operation.responses)) {
    const kind = Object.entries(reply.content || {}).map(([type, content]) => nameOf(content.schema) || type);
    body.append(...section(`Reply ${status}`, element("code", {}, kind.join(", ") || reply.description)));
  }
  const head = element(
    "summary",
    {},
    element("code", {}, element("span", { class: `method ${method}` }, method.toUpperCase()), path),
    element("p", {}, operation.description || operation.summary || ""),
  );
  return element("details", { class: "route" }, head, body);
}

const byTag = new Map();
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const tag = operation.tags?.[0] || "other";
    byTag.set(tag, [...(byTag.get(tag) || []), route(path, method, operation)]);
  }
}
for (const [tag, routes] of byTag) byId("routes").append(element("h2", {}, tag), ...routes);
for (const [name, schema] of Object.entries(schemas)) {
  const head = element("summary", {}, element("code", {}, name), element("p", {}, schema.description || ""));
  byId("objects").append(element("details", { class: "object" }, head, element("div", { class: "body" }, fields(schema))));
}
