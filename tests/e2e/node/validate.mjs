// Answers whether values are as the schemas of an OpenAPI document say, with npm's ajv.
//   validate.mjs DOCUMENT
// Reads {"schema": name, "value": …} and writes the list of errors, a line each.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import Ajv from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const ajv = new Ajv.default({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addSchema(JSON.parse(readFileSync(process.argv[2])), 'document');

for await (const line of createInterface({ input: process.stdin })) {
	const { schema, value } = JSON.parse(line);
	const validate = ajv.getSchema(`document#/components/schemas/${schema}`);
	validate(value);
	console.log(JSON.stringify(validate.errors ?? []));
}
