/** docs/response-codes.md has every code that the broker gives, with a remark that is in the code and a test that is there. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { ResponseCode } from '@dledger-ts/remoting'
import { expect, test } from 'vitest'

const SOURCES = import.meta.dirname
const TABLE = path.join(SOURCES, '../../../docs/response-codes.md')

interface Row {
  readonly code: number
  readonly name: string
  readonly from: string
  readonly remark: string
  readonly testFile: string
  readonly title: string
}

function rows(): Row[] {
  const found: Row[] = []
  for (const line of readFileSync(TABLE, 'utf8').split('\n')) {
    if (!/^\| \d/.test(line)) continue
    const [code, name, from, , remark, , test_] = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
    const [, testFile = '', title = ''] = /^`([^`]+)`: (.*)$/.exec(test_ ?? '') ?? []
    found.push({
      code: Number(code),
      name: unquoted(name),
      from: unquoted(from),
      remark: unquoted(remark),
      testFile,
      title: title.replaceAll('\\', ''),
    })
  }
  return found
}

function unquoted(cell = ''): string {
  return cell.replace(/^`|`$/g, '')
}

function read(file: string): string {
  return readFileSync(path.join(SOURCES, file), 'utf8')
}

/** As `file CODE`, each once: where a code stands in the broker's sources. */
function inSources(): Set<string> {
  const found = new Set<string>()
  for (const entry of readdirSync(SOURCES, { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith('.ts') || entry.name.endsWith('.test.ts')) continue
    const file = path.relative(SOURCES, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/')
    for (const [, name = ''] of read(file).matchAll(/ResponseCode\.([A-Z_]+)/g)) {
      if (name !== 'SUCCESS') found.add(`${file} ${name}`)
    }
  }
  return found
}

test('every code in the sources has a row, and every row is in the sources', () => {
  const listed = new Set(rows().map(({ from, name }) => `${from} ${name}`))
  expect([...listed].sort()).toEqual([...inSources()].sort())
})

test.each(rows())('$code $name of $from: $remark', ({ code, name, from, remark, testFile, title }) => {
  expect(ResponseCode[name as keyof typeof ResponseCode]).toBe(code)
  // Sources write a quote in a text as \' or take other quotes around it.
  const source = read(from).replaceAll("\\'", "'")
  for (const part of remark === '–' ? [] : remark.split('…')) expect(source).toContain(part)
  expect(read(testFile)).toContain(`'${title}'`)
})
