/** The programs in `examples/` do what they say. They use the built packages, as an embedder does. */
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TempDirectory } from './testing/fixture.ts'

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

const example = fileURLToPath(new URL('../examples/orders.mjs', import.meta.url))
const expected = [
  'the last order is message 2 of its queue',
  'paid: one book',
  'paid: a lamp',
  'a second later: ask for feedback',
  '',
].join('\n')

test('orders.mjs stores, reads by tag and delivers a reminder', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [example, temp.path])
  expect(stdout).toBe(expected)
})

test('the ten lines of the README run', async () => {
  const readme = fs.readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const code = /```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
  // Beside the examples, so that the packages are found.
  const program = fileURLToPath(new URL(`../examples/readme-${process.pid}.mjs`, import.meta.url))
  fs.writeFileSync(program, code.replaceAll('./orders', temp.path))
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [program])
    expect(stdout).toBe('0 one book\n')
  } finally {
    fs.rmSync(program)
  }
})
