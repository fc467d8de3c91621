/** Writes the types of each wing's operations: `operations.graphql` becomes `operations.ts`, checked against
 * `schema/schema.graphql`. What is written is not in git. */

import { codegen } from "@graphql-codegen/core";
import * as operations from "@graphql-codegen/typescript-operations";
import {
  buildSchema,
  type DocumentNode,
  type GraphQLSchema,
  parse,
  print,
  stripIgnoredCharacters,
  visit,
} from "graphql";

const SCHEMA = new URL("../schema/schema.graphql", import.meta.url);
const WINGS = ["shared", "staff", "tech", "portal"];

/** Writes `operations.ts` of each wing that has operations, and returns the texts of all. Throws an error that names each
 * operation that the schema does not allow. */
export async function writeOperations(): Promise<string[]> {
  const texts: string[] = [];
  const text = await Deno.readTextFile(SCHEMA);
  const schema = buildSchema(text);
  for (const wing of WINGS) {
    const documents = await documentsOf(wing);
    if (documents.length > 0) {
      const target = new URL(`${wing}/operations.ts`, import.meta.url);
      await Deno.writeTextFile(target, await moduleOf(schema, parse(text), documents, texts));
    }
  }
  return texts;
}

interface Source {
  location: string;
  document: DocumentNode;
}

/** The documents of a wing, in `*.graphql` files at any depth. */
async function documentsOf(wing: string): Promise<Source[]> {
  const found: Source[] = [];
  const walk = async (directory: string) => {
    for await (const entry of Deno.readDir(new URL(directory, import.meta.url))) {
      const path = `${directory}/${entry.name}`;
      if (entry.isDirectory) await walk(path);
      else if (entry.name.endsWith(".graphql")) {
        found.push({ location: path, document: parse(await Deno.readTextFile(new URL(path, import.meta.url))) });
      }
    }
  };
  try {
    await walk(wing);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort((one, other) => one.location < other.location ? -1 : 1);
}

/** The wing's module. The texts of its operations are added to `texts`. */
async function moduleOf(
  schemaAst: GraphQLSchema,
  schema: DocumentNode,
  documents: Source[],
  texts: string[],
): Promise<string> {
  const types = await codegen({
    filename: "operations.ts",
    schema,
    schemaAst,
    documents,
    config: { enumType: "string-literal", defaultScalarType: "string", skipTypename: true, dedupeFragments: true },
    plugins: [{ operations: {} }],
    pluginMap: { operations },
  });
  const fragments = new Map<string, string>();
  const uses = new Map<string, Set<string>>();
  for (const { document } of documents) {
    for (const definition of document.definitions) {
      if (definition.kind !== "FragmentDefinition") continue;
      fragments.set(definition.name.value, print(definition));
      uses.set(definition.name.value, spreads(definition));
    }
  }
  const constants: string[] = [];
  for (const { document } of documents) {
    for (const definition of document.definitions) {
      if (definition.kind !== "OperationDefinition" || definition.name === undefined) continue;
      const name = definition.name.value;
      const kind = definition.operation[0]!.toUpperCase() + definition.operation.slice(1);
      const needed = closure(spreads(definition), uses);
      const text = stripIgnoredCharacters([print(definition), ...needed.map((one) => fragments.get(one))].join("\n"));
      texts.push(text);
      constants.push(
        `export const ${name} = ${JSON.stringify(text)} as Document<${name}${kind}, ${name}${kind}Variables>;`,
      );
    }
  }
  return `import type { Document } from "../shared/document.ts";\n\n${types}\n${constants.join("\n")}\n`;
}

function spreads(node: Parameters<typeof visit>[0]): Set<string> {
  const names = new Set<string>();
  visit(node, { FragmentSpread: (spread) => void names.add(spread.name.value) });
  return names;
}

/** The fragments that these need, each once. */
function closure(names: Set<string>, uses: Map<string, Set<string>>): string[] {
  const all = new Set<string>();
  const add = (name: string) => {
    if (all.has(name)) return;
    all.add(name);
    uses.get(name)?.forEach(add);
  };
  names.forEach(add);
  return [...all].sort();
}

if (import.meta.main) await writeOperations();
