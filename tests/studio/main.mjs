// Runs one part of a Studio's work before a server: `node main.mjs catalog`.
//
// STUDIO_BASE: what paths are below. STUDIO_TOKEN: whom to be, if anyone. STUDIO_LIBRARY: the folder, as a URL, of
// postgres-meta's classes that build SQL.

const [part] = process.argv.slice(2)
const { default: run } = await import(`./${part}.mjs`)
await run()
