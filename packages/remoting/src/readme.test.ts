/** The program in README.md runs as it stands there. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

it('the program of the README runs', async () => {
  const readme = fileURLToPath(new URL('../README.md', import.meta.url))
  const program = /```ts\n([^]*?)\n```/.exec(readFileSync(readme, 'utf8'))?.[1]
  expect(program).toBeDefined()
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program ?? ''], { cwd })
})
