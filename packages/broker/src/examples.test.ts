/** The programs in `examples/` and the README do what they say. They use the built packages, as an embedder does. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'

const run = promisify(execFile)
let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'broker-example-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const example = (name: string) => fileURLToPath(new URL(`../examples/${name}`, import.meta.url))

test('one-broker.mjs stores a message and reads it back', async () => {
  const { stdout } = await run(process.execPath, [example('one-broker.mjs'), directory])
  expect(stdout.trim().split('\n')).toEqual([
    'LEADER, broker id 0, healthy: true',
    'stored at offset 0 of queue 0',
    'read: hello',
  ])
})

test('the lines of the README run', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const code = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
  // Beside the examples, so that the packages are found; the ports are chosen by the system.
  const program = example(`readme-${process.pid}.mjs`)
  const adapted = code
    .replace("storePathRootDir: './store'", `storePathRootDir: ${JSON.stringify(directory)}, listenPort: '0'`)
    .replace('broker.status() //', 'console.log(broker.status().role) //')
  writeFileSync(program, adapted)
  try {
    const { stdout } = await run(process.execPath, [program])
    expect(stdout).toBe('LEADER\n')
  } finally {
    rmSync(program)
  }
})
