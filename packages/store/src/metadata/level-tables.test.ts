/** Tables of a real LevelDB: whole ones pass, with any byte changed or any length cut they do not, and such a database is not opened. */
import fs from 'node:fs'
import path from 'node:path'
import { Level } from 'level'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TempDirectory } from '../testing/fixture.ts'
import { LevelMetadata } from './level-metadata.ts'
import { tablesOf } from './level-manifest.ts'
import { crc32c, findTableDamage } from './level-tables.ts'

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

/** @returns the names of the tables. */
async function databaseAt(directory: string, rows: number): Promise<string[]> {
  const db = new Level<string, Buffer>(directory, { keyEncoding: 'utf8', valueEncoding: 'buffer' })
  await db.open()
  for (let i = 0; i < rows; i++) await db.put(`row ${i % 97} ${i}`, Buffer.from(`value ${i} `.repeat(1 + (i % 7))))
  await db.close()
  // What is in its log becomes a table.
  await db.open()
  await db.close()
  return tablesIn(directory)
}

function tablesIn(directory: string): string[] {
  return fs.readdirSync(directory).filter((name) => name.endsWith('.ldb'))
}

test('the checksum is the one of RFC 3720', () => {
  expect(crc32c(Buffer.alloc(32), 0, 32)).toBe(0x8a9136aa)
  expect(crc32c(Buffer.alloc(32, 0xff), 0, 32)).toBe(0x62a8ab43)
  expect(crc32c(Buffer.from('x123456789x'), 1, 10)).toBe(0xe3069283)
})

test('every flipped byte and every cut of a table is found', async () => {
  const names = await databaseAt(temp.path, 400)
  expect(names).not.toHaveLength(0)
  for (const name of names) {
    const table = fs.readFileSync(path.join(temp.path, name))
    expect(findTableDamage(table)).toBeNull()
    // Of the footer not every bit says something.
    const footer = table.length - 48
    const isFooter = (at: number): boolean => at >= footer && at < table.length - 8
    for (let at = 0; at < table.length; at++) {
      const bit = 1 << (at % 8)
      table[at] = (table[at] as number) ^ bit
      if (!isFooter(at)) expect(findTableDamage(table), `byte ${at} of ${table.length}`).not.toBeNull()
      table[at] = (table[at] as number) ^ bit
      expect(findTableDamage(table.subarray(0, at)), `cut to ${at}`).not.toBeNull()
    }
  }
})

test('a large database passes, and its manifest names its tables', async () => {
  const names = await databaseAt(temp.path, 30_000)
  const manifest = fs.readdirSync(temp.path).find((name) => name.startsWith('MANIFEST')) as string
  const known = tablesOf(fs.readFileSync(path.join(temp.path, manifest)))
  expect([...known.keys()].map((table) => `${String(table).padStart(6, '0')}.ldb`).sort()).toEqual(names.sort())
  for (const [table, size] of known) {
    const bytes = fs.readFileSync(path.join(temp.path, `${String(table).padStart(6, '0')}.ldb`))
    expect([bytes.length, findTableDamage(bytes)]).toEqual([size, null])
  }
})

test('a database with a damaged table is refused by name, and one that is no part of it does not matter', async () => {
  const directory = path.join(temp.path, 'db')
  const [name] = (await databaseAt(directory, 400)) as [string]
  fs.writeFileSync(path.join(directory, '009999.ldb'), 'half of one that was being written')
  const whole = await LevelMetadata.open(directory)
  await new Promise<void>((resolve) => whole.close(() => resolve()))
  const file = path.join(
    directory,
    tablesIn(directory).find((each) => each === name) ?? (tablesIn(directory)[0] as string),
  )
  const bytes = fs.readFileSync(file)
  bytes[40] = (bytes[40] as number) ^ 1
  fs.writeFileSync(file, bytes)
  await expect(LevelMetadata.open(directory)).rejects.toMatchObject({
    code: 'CORRUPT',
    message: expect.stringContaining(path.basename(file)) as string,
  })
})
