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

const examples: { name: string; expected: string[] }[] = [
  {
    name: 'orders.mjs',
    expected: [
      'the last order is message 2 of its queue',
      'paid: one book',
      'paid: a lamp',
      'a second later: ask for feedback',
    ],
  },
  {
    name: 'consumer.mjs',
    expected: ['0: mail to Ann', '1: mail to Bob', 'started again', '2: mail to Cleo', '3: mail to Dan'],
  },
  {
    name: 'work-log.mjs',
    expected: [
      'job-1: published, built, fetched',
      'm-9: published, built',
      'job-2: ',
      '4 messages, 0 damaged index files',
    ],
  },
  {
    name: 'three-members.mjs',
    expected: [
      'stored as message 0',
      'read from a follower: 10 to Ann',
      'another member leads: true',
      'repeated, it is still message 0 of 1',
    ],
  },
]
test.each(examples)(
  '$name says what it is there to show',
  async ({ name, expected }) => {
    const program = fileURLToPath(new URL(`../examples/${name}`, import.meta.url))
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, temp.path], { timeout: 30_000 })
    expect(stderr).toBe('')
    expect(stdout.trimEnd().split('\n')).toEqual(expected)
  },
  40_000,
)

test('the lines of the README run', async () => {
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
