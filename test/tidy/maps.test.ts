/** The maps in the READMEs of the large packages: whoever looks for a part finds where it is, and nothing that is gone. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from './sources.ts'

const SECTION = /\n## What is where\n(.*?)\n## /s

/** The files and folders that a map names, folders with a slash at the end. */
function namesIn(readme: string): string[] {
  const map = SECTION.exec(readme)?.[1] ?? ''
  return [...map.matchAll(/`([\w/-]+(?:\.ts|\/))`/g)].map((match) => match[1] as string)
}

/** All below a folder, as `namesIn` has them. */
function pathsBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).map(
    (entry) => relative(folder, join(entry.parentPath, entry.name)) + (entry.isFile() ? '' : '/'),
  )
}

test.each(['broker', 'dledger', 'store'])('the map of %s has every folder, and names what is there', (name) => {
  const named = namesIn(readFileSync(join(ROOT, 'packages', name, 'README.md'), 'utf8'))
  const paths = pathsBelow(join(ROOT, 'packages', name, 'src'))
  const isThere = (one: string): boolean => paths.some((path) => path === one || path.endsWith(`/${one}`))
  expect(named.filter((one) => one !== 'src/' && !isThere(one))).toEqual([])
  const folders = paths.filter((path) => /^[^/]+\/$/.test(path) && path !== 'testing/')
  expect(folders.filter((folder) => !named.includes(folder))).toEqual([])
})

test('a name in a map is a file or a folder', () => {
  const readme = '\n## What is where\n\n| `a.ts`, `b/`, `c/d.ts` | `text`, `c/*.ts` |\n\n## Next\n\n`later.ts`\n'
  expect(namesIn(readme)).toEqual(['a.ts', 'b/', 'c/d.ts'])
})
