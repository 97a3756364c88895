/**
 * A store that Apache RocketMQ wrote: opened, compared with what an independent reader found, and written on.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { placeEntry } from './layout.ts'
import { append, batchAfter, openLog, read, sync, TempDirectory } from './log-fixture.ts'

const vectors = new URL('../../../../test/vectors/dledger-store/', import.meta.url)
const manifest = JSON.parse(fs.readFileSync(new URL('entries.json', vectors), 'utf8')) as {
  fileBytes: number
  dataFiles: string[]
  blanks: { pos: number; size: number }[]
  entries: [index: number, term: number, pos: number, size: number, sha1: string][]
}
const settings = {
  fileBytes: manifest.fileBytes,
  indexFileBytes: 167_772_160,
  checksummedFrom: manifest.entries.length,
}

let temp: TempDirectory
beforeEach(() => {
  temp = new TempDirectory()
})
afterEach(() => temp.remove())

function unpack(member: 'n0' | 'n1'): string {
  const archive = new URL(`${member}.tar.gz`, vectors).pathname
  const directory = `store/dledger-${member}`
  execFileSync('tar', ['-xzf', archive, '-C', temp.path, `${directory}/data`, `${directory}/index`])
  return path.join(temp.path, directory)
}

function dataFiles(directory: string): Map<string, string> {
  const data = path.join(directory, 'data')
  return new Map(fs.readdirSync(data).map((name) => [name, sha1(fs.readFileSync(path.join(data, name)))]))
}

function sha1(bytes: Buffer): string {
  return createHash('sha1').update(bytes).digest('hex')
}

test.each(['n0', 'n1'] as const)(
  'every entry of %s is where Apache put it, and opening changes no file',
  async (member) => {
    const directory = unpack(member)
    const before = dataFiles(directory)
    expect([...before.keys()].sort()).toEqual(manifest.dataFiles)
    const log = openLog(directory, settings)
    expect(log.recovery).toEqual({ cutBytes: 0, scannedEntries: 180, rebuiltIndexUnits: 0 })
    expect({ first: log.firstIndex, last: log.lastIndex, term: log.lastTerm, chain: log.lastChain }).toEqual({
      first: 0,
      last: 179,
      term: 3,
      chain: 0,
    })
    const runs = manifest.entries.filter(([, term], i) => term !== manifest.entries[i - 1]?.[1])
    expect(log.termRuns()).toEqual(runs.map(([firstIndex, term]) => ({ firstIndex, term })))
    for (const [index, term, pos, size, hash] of manifest.entries) {
      const batch = await read(log, index, index, 1)
      expect([index, batch.term, ...batch.positions, ...batch.sizes, sha1(batch.bytes)]).toEqual([
        index,
        term,
        pos,
        size,
        hash,
      ])
      expect(log.locate(index)).toBe(pos)
    }
    log.close()
    expect(dataFiles(directory)).toEqual(before)
  },
)

test('the placement rule gives the places and blanks that Apache chose', () => {
  let endPos = 0
  const blanks = []
  for (const [, , pos, size] of manifest.entries) {
    expect(placeEntry(endPos, size, manifest.fileBytes)).toBe(pos)
    if (pos !== endPos) blanks.push({ pos: endPos, size: pos - endPos })
    endPos = pos + size
  }
  expect(blanks).toEqual(manifest.blanks)
})

test('one read returns entries of one term over blanks and file ends', async () => {
  const log = openLog(unpack('n1'), settings)
  const second = log.termRuns()[1]?.firstIndex ?? 0
  const batch = await read(log, 0, 179, 1 << 20)
  expect({ count: batch.count, term: batch.term }).toEqual({ count: second, term: 1 })
  expect(batch.positions).toEqual(manifest.entries.slice(0, second).map(([, , pos]) => pos))
  log.close()
})

test('an Apache log is written on with checksums, over a file end, and opens again', async () => {
  const directory = unpack('n1')
  const log = openLog(directory, settings)
  for (let i = 0; i < 40; i++) await append(log, batchAfter(log, 4, [{ bodyBytes: 3000 }]))
  await sync(log)
  const { lastIndex, endPos, lastChain } = log
  log.close()
  const again = openLog(directory, settings)
  expect(again).toMatchObject({ lastIndex, endPos, lastChain, lastTerm: 4 })
  expect((await read(again, 179, 219, 1)).term).toBe(3)
  expect((await read(again, 180, lastIndex, 1 << 20)).count).toBe(40)
  again.close()
  const checked = openLog(directory, { ...settings, checksummedFrom: 0 })
  expect(checked.lostRanges()).toMatchObject([{ firstIndex: 0, lastIndex: 179, pos: 0 }])
  checked.close()
})

test('a lost index is built again as Apache had it', () => {
  const directory = unpack('n1')
  const file = path.join(directory, 'index', '0'.repeat(20))
  const units = fs.readFileSync(file).subarray(0, 180 * 32)
  fs.rmSync(file)
  const log = openLog(directory, settings)
  expect(log.recovery.rebuiltIndexUnits).toBe(180)
  log.close()
  expect(fs.statSync(file).size).toBe(settings.indexFileBytes)
  expect(fs.readFileSync(file).subarray(0, 180 * 32)).toEqual(units)
})
