import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeDirectories, makeDirectoriesSync } from './make-directories.ts'

let top: string
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'make-directories-'))
})
afterEach(() => rmSync(top, { recursive: true }))

/** Both ways, as promises. */
const ways: readonly [string, (path: string) => Promise<void>][] = [
  ['at once', (path) => Promise.resolve().then(() => makeDirectoriesSync(path))],
  [
    'in the background',
    (path) =>
      new Promise((resolve, reject) =>
        makeDirectories(path, (error) => {
          if (error === null) resolve()
          else reject(error)
        }),
      ),
  ],
]

test.each(ways)('%s: what is missing is made, what is there stays', async (_, make) => {
  await make(join(top, 'a', 'b', 'c'))
  expect(statSync(join(top, 'a', 'b', 'c')).isDirectory()).toBe(true)
  await make(join(top, 'a', 'b', 'c'))
  await make(join(top, 'a', 'd'))
  await Promise.all([make(join(top, 'e', 'f')), make(join(top, 'e', 'f'))])
  expect(statSync(join(top, 'e', 'f')).isDirectory()).toBe(true)
})

test.each(ways)('%s: a file in the way is an error', async (_, make) => {
  writeFileSync(join(top, 'file'), '')
  await expect(make(join(top, 'file'))).rejects.toThrow('EEXIST')
  await expect(make(join(top, 'file', 'below'))).rejects.toThrow(/ENOTDIR|EEXIST/)
})

// Node's own way would not come back.
test.runIf(process.platform === 'linux').each(ways)(
  '%s: a file system that takes no directories is an error',
  async (_, make) => {
    await expect(make('/proc/nowhere/below')).rejects.toThrow(
      "ENOENT: no such file or directory, mkdir '/proc/nowhere'",
    )
  },
)
