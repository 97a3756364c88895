/** Backups of whole members, on real files: what is in them, how they go on, and what a failed one leaves. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { DLedger } from './dledger.ts'
import { bodiesOf } from './testing/loopback-group.ts'
import { OpenedMembers } from './testing/opened-members.ts'
import { untilSeen } from './testing/until.ts'
import { stepsTo } from './driver/backup.ts'
import { HangingDisk } from './driver/testing/hanging-disk.ts'
import type { ControlEnvelope } from './state-machine.ts'

const small = {
  fileBytes: 64 * 1024,
  indexFileBytes: 32 * 1024,
  zeroFillBytes: 0,
  tickMs: 10,
  heartbeatMs: 20,
  electionTimeoutMs: 500,
  catchUpPieceBytes: 10_000,
} as const

let opened: OpenedMembers
beforeEach(() => {
  opened = new OpenedMembers(small)
})
afterEach(() => opened.close())

const bodies = (from: number, count: number): Buffer[] =>
  Array.from({ length: count }, (_, i) => Buffer.from(`${from + i}:${'x'.repeat(500)}`))

function filesIn(directory: string): string[] {
  if (!existsSync(join(opened.root, directory))) return []
  return readdirSync(join(opened.root, directory), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
}

test('a backup of a lone member opens with what was committed, and goes on', { timeout: 60_000 }, async () => {
  const log = await opened.start('log')
  await log.append(bodies(0, 500))
  const under = log.append(bodies(500, 200))
  const copied = await log.backup(join(opened.root, 'copy'))
  await under
  expect(copied).toMatchObject({ firstIndex: 0 })
  expect(copied.lastIndex).toBeGreaterThanOrEqual(500)
  const storeId = log.status().storeId
  await opened.stop(log)
  const copy = await opened.start('copy')
  const expected = bodies(0, 700).map(String)
  const found = await bodiesOf(copy)
  expect(found.length).toBeGreaterThanOrEqual(500)
  expect(found).toEqual(expected.slice(0, found.length))
  expect(copy.status().storeId).not.toBe(storeId)
  await copy.append(Buffer.from('and on'))
  await opened.stop(copy)
  const again = await opened.start('copy')
  expect((await bodiesOf(again)).at(-1)).toBe('and on')
})

test('a follower of a group gives a backup that founds another group', { timeout: 60_000 }, async () => {
  const members = await opened.startGroup(['n0', 'n1', 'n2'], (id) => ({ directory: join(opened.root, 'old', id) }))
  const [leader, follower] = members as [DLedger, DLedger]
  await leader.append(bodies(0, 400))
  await untilSeen('the follower has all', () => follower.commitIndex === leader.commitIndex)
  const founders = ['n1', 'n3']
  await follower.backup(join(opened.root, 'copy'), { members: founders })
  await Promise.all(members.map((member) => opened.stop(member)))
  for (const id of founders) cpSync(join(opened.root, 'copy'), join(opened.root, 'new', id), { recursive: true })
  const group = await opened.startGroup(founders, (id) => ({ directory: join(opened.root, 'new', id) }))
  await (group[0] as DLedger).append(bodies(400, 10))
  await untilSeen('both have all', () =>
    group.every((member) => member.appliedIndex === (group[0] as DLedger).lastIndex),
  )
  for (const member of group) expect(await bodiesOf(member)).toEqual(bodies(0, 410).map(String))
  expect(new Set(group.map((member) => member.status().storeId)).size).toBe(2)
})

test('a backup of a trimmed log starts where that does', { timeout: 60_000 }, async () => {
  const log = await opened.start('log')
  const places = await log.append(bodies(0, 600))
  await log.trimBefore(places[400]?.index ?? -1)
  await untilSeen('the head is gone', () => log.firstIndex > 0)
  const { firstIndex } = await log.backup(join(opened.root, 'copy'))
  expect(firstIndex).toBe(log.firstIndex)
  const expected = await bodiesOf(log)
  await opened.stop(log)
  expect(await bodiesOf(await opened.start('copy'))).toEqual(expected)
})

test('nothing is trimmed while a backup is made, and then it is', { timeout: 60_000 }, async () => {
  const log = await opened.start('log', { catchUpBytesPerSecond: 400_000 })
  const places = await log.append(bodies(0, 600))
  const underWay = log.backup(join(opened.root, 'copy'))
  await log.trimBefore(places[400]?.index ?? -1)
  expect(log.firstIndex).toBe(0)
  expect(await underWay).toMatchObject({ firstIndex: 0 })
  await log.append(Buffer.from('a pass'))
  await untilSeen('the head is gone', () => log.firstIndex > 0)
})

test('a directory that holds anything is refused and left alone', async () => {
  const log = await opened.start('log')
  mkdirSync(join(opened.root, 'copy', 'data'), { recursive: true })
  writeFileSync(join(opened.root, 'copy', 'data', 'mine'), 'mine')
  await expect(log.backup(join(opened.root, 'copy'))).rejects.toMatchObject({ code: 'INVALID' })
  await expect(log.backup(join(opened.root, 'log'))).rejects.toMatchObject({ code: 'INVALID' })
  expect(readFileSync(join(opened.root, 'copy', 'data', 'mine'), 'utf8')).toBe('mine')
  await log.append(Buffer.from('x'))
})

test('a backup that is given up leaves no file, and the next one works', { timeout: 60_000 }, async () => {
  const log = await opened.start('log', { catchUpBytesPerSecond: 100_000 })
  await log.append(bodies(0, 600))
  const giving = new AbortController()
  const underWay = log.backup(join(opened.root, 'copy'), { signal: giving.signal })
  await untilSeen('it has begun', () => filesIn('copy').length > 0)
  giving.abort(new Error('enough'))
  await expect(underWay).rejects.toThrow('enough')
  expect(filesIn('copy')).toEqual([])
  const second = log.backup(join(opened.root, 'copy'))
  await untilSeen('it has begun again', () => filesIn('copy').length > 0)
  const refused = expect(second).rejects.toMatchObject({ code: 'CLOSED' })
  await opened.stop(log)
  await refused
  expect(filesIn('copy')).toEqual([])
})

test('what is damaged ends a backup', { timeout: 60_000 }, async () => {
  const log = await opened.start('log', { hotBytesMax: 0 })
  await log.append(bodies(0, 600))
  const [file] = readdirSync(join(opened.root, 'log', 'data'))
  const path = join(opened.root, 'log', 'data', file as string)
  const bytes = readFileSync(path)
  bytes[30_000] = (bytes[30_000] as number) ^ 1
  writeFileSync(path, bytes)
  await expect(log.backup(join(opened.root, 'copy'))).rejects.toMatchObject({ code: 'CORRUPT' })
  expect(filesIn('copy')).toEqual([])
})

test(
  'a backup that finds no room ends, says so and leaves no file; the member goes on',
  { timeout: 60_000 },
  async () => {
    const disk = new HangingDisk()
    const log = await opened.start('log', { disk })
    await log.append(bodies(0, 100))
    disk.full = true
    await expect(log.backup('/copy')).rejects.toMatchObject({ code: 'STORAGE_FAILED', detail: { errno: 'ENOSPC' } })
    expect(['data', 'index'].flatMap((kind) => disk.listSync(`/copy/${kind}`))).toEqual([])
    disk.full = false
    await log.append(Buffer.from('x'))
  },
)

test('what the envelope throws at a backup ends that, and nothing else', async () => {
  let isOver = false
  const wrap: ControlEnvelope['wrap'] = (_, payload) => {
    if (isOver) throw new Error('oops')
    return payload.length === 0 ? Buffer.alloc(1) : payload
  }
  const log = await opened.start('log', { controlEnvelope: { wrap, unwrap: (body) => body } })
  await log.append(bodies(0, 100))
  isOver = true
  await expect(log.backup(join(opened.root, 'copy'))).rejects.toThrow('oops')
  isOver = false
  expect(filesIn('copy')).toEqual([])
  await log.append(Buffer.from('x'))
})

test('the voters of a backup come and go one at a time', () => {
  expect(stepsTo(['a'], null)).toEqual([['a']])
  expect(stepsTo(['a'], ['a'])).toEqual([['a']])
  expect(stepsTo(['c', 'd'], ['a', 'b', 'c'])).toEqual([
    ['a', 'b', 'c'],
    ['a', 'b', 'c', 'd'],
    ['b', 'c', 'd'],
    ['c', 'd'],
  ])
})
