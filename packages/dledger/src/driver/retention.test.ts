/** What retention decides, without a disk or a group. */
import { describe, expect, test } from 'vitest'
import { DEFAULT_SETTINGS } from '../config.ts'
import {
  Retention,
  type RetentionOptions,
  type RetentionSettings,
  type RetentionView,
  retainedFrom,
} from './retention.ts'

const FILE_BYTES = 1_000
const HOUR_MS = 3_600_000
const NOW_MS = 100 * HOUR_MS

const off: RetentionSettings = {
  retentionMs: null,
  retentionHours: null,
  retentionEarlyDiskPercent: null,
  retentionBytes: null,
  retentionDiskPercent: null,
  retainForLaggingBytes: 0,
}

/** Five files with ten entries each, the last half full; one was written each hour, the newest one just now. */
const view: RetentionView = {
  nowMs: NOW_MS,
  hour: 4,
  starts: [0, 1, 2, 3, 4].map((file) => file * FILE_BYTES),
  endPos: 4.5 * FILE_BYTES,
  writtenMs: (start) => NOW_MS - (4 - start / FILE_BYTES) * HOUR_MS,
  firstIndexIn: (start) => (start / FILE_BYTES) * 10,
  usedPercent: 50,
  keptFrom: Number.POSITIVE_INFINITY,
  needed: [],
}

interface Row {
  readonly name: string
  readonly settings: Partial<RetentionSettings>
  readonly view?: Partial<RetentionView>
  readonly expected: number
}

const rows: readonly Row[] = [
  { name: 'keeps everything where nothing is set', settings: {}, view: { usedPercent: 100 }, expected: 0 },
  { name: 'forgets files last written too long ago', settings: { retentionMs: 2.5 * HOUR_MS }, expected: 20 },
  { name: 'keeps a file that is exactly as old as is allowed', settings: { retentionMs: 3 * HOUR_MS }, expected: 10 },
  {
    name: 'never forgets the file that is being written',
    settings: { retentionMs: 1, retentionBytes: 1 },
    view: { nowMs: NOW_MS + 100 * HOUR_MS },
    expected: 40,
  },
  {
    name: 'keeps a young file and all after it, also where an older time stands there',
    settings: { retentionMs: 1.5 * HOUR_MS },
    view: { writtenMs: (start) => (start === FILE_BYTES ? NOW_MS : 0) },
    expected: 10,
  },
  {
    name: 'forgets what is old in the hours that are set',
    settings: { retentionMs: 2.5 * HOUR_MS, retentionHours: [16, 4] },
    expected: 20,
  },
  {
    name: 'keeps what is old at any other hour',
    settings: { retentionMs: 2.5 * HOUR_MS, retentionHours: [5, 16], retentionEarlyDiskPercent: 51 },
    expected: 0,
  },
  {
    name: 'forgets what is old at any hour for a disk that is filling, and only that',
    settings: { retentionMs: 2.5 * HOUR_MS, retentionHours: [5, 16], retentionEarlyDiskPercent: 50 },
    expected: 20,
  },
  {
    name: 'goes by size and by force at any hour',
    settings: { retentionMs: 1, retentionHours: [5], retentionBytes: 2_600, retentionDiskPercent: 50 },
    expected: 20,
  },
  { name: 'keeps at most the bytes that are allowed', settings: { retentionBytes: 2_600 }, expected: 20 },
  { name: 'keeps a file when all then are exactly what is allowed', settings: { retentionBytes: 2_500 }, expected: 20 },
  { name: 'does not forget for a disk that has room', settings: { retentionDiskPercent: 51 }, expected: 0 },
  { name: 'forgets one file for a disk that is too full', settings: { retentionDiskPercent: 50 }, expected: 10 },
  {
    name: 'goes by the strictest of what is set',
    settings: { retentionDiskPercent: 50, retentionBytes: 3_500, retentionMs: 1.5 * HOUR_MS },
    expected: 30,
  },
  {
    name: 'keeps what a follower needs, from the file on that has its next entry',
    settings: { retentionBytes: 1_000, retainForLaggingBytes: 4_000 },
    view: { needed: [45, 17] },
    expected: 10,
  },
  {
    name: 'counts a next entry that begins a file to that file',
    settings: { retentionBytes: 1_000, retainForLaggingBytes: 4_000 },
    view: { needed: [20] },
    expected: 20,
  },
  {
    name: 'leaves a follower behind that needs more than is allowed for that, and keeps to the others',
    settings: { retentionBytes: 1_000, retainForLaggingBytes: 2_500 },
    view: { needed: [5, 25] },
    expected: 20,
  },
  {
    name: 'keeps what must stay, however much that is',
    settings: { retentionBytes: 1_000 },
    view: { keptFrom: 19 },
    expected: 10,
  },
  {
    name: 'takes an entry that is gone already for one in the first file',
    settings: { retentionBytes: 1_000, retainForLaggingBytes: 2_500 },
    view: {
      starts: [2, 3, 4].map((file) => file * FILE_BYTES),
      needed: [5],
    },
    expected: 0,
  },
  {
    name: 'keeps everything where it cannot tell with which entry a file begins',
    settings: { retentionBytes: 2_600 },
    view: { firstIndexIn: () => null },
    expected: 0,
  },
  { name: 'has nothing to forget in an empty log', settings: { retentionBytes: 1 }, view: { starts: [] }, expected: 0 },
]

describe('retention', () => {
  test.each(rows)('$name', ({ settings, view: changed, expected }) => {
    expect(retainedFrom({ ...off, ...settings }, { ...view, ...changed })).toBe(expected)
  })
})

describe('a leader', () => {
  /** It has the log above; `proposed` is what it wants forgotten, `told` what it says of its disk. */
  function leader(settings: Partial<RetentionSettings>) {
    const member = { term: 1, lacksReserve: false }
    const proposed: number[] = []
    const told: number[] = []
    const options: unknown = {
      settings: { ...DEFAULT_SETTINGS, ...off, ...settings, retentionIntervalMs: 10 },
      disk: { usedPercentSync: () => 50 },
      directory: '/n0',
      raft: {
        diskUsage: (percent: number) => void told.push(percent),
        fullestDisk: () => told.at(-1) ?? 0,
        neededByFollowers: () => [],
      },
      log: { ...view, firstIndex: 0 },
      lacksReserve: () => member.lacksReserve,
      keptFrom: () => view.keptFrom,
      neededByInstall: () => Number.POSITIVE_INFINITY,
      leadsInTerm: () => member.term,
      propose: (before: number) => proposed.push(before) > 0,
    }
    return { member, proposed, told, retention: new Retention(options as RetentionOptions) }
  }

  test('takes its disk for full while its reserve is missed', () => {
    const { member, proposed, told, retention } = leader({ retentionDiskPercent: 80 })
    retention.wake(0, NOW_MS)
    expect([told, proposed]).toEqual([[50], []])
    member.lacksReserve = true
    retention.wake(10, NOW_MS)
    expect([told, proposed]).toEqual([[50, 100], [10]])
  })

  test('forgets what is old at any hour when it is asked to, for as long as it leads', () => {
    const hour = new Date(NOW_MS).getHours()
    const { member, proposed, retention } = leader({ retentionMs: 2.5 * HOUR_MS, retentionHours: [(hour + 12) % 24] })
    retention.wake(0, NOW_MS)
    expect(proposed).toEqual([])
    retention.passOverHours()
    member.term = 2
    retention.wake(10, NOW_MS)
    expect(proposed, 'another term').toEqual([])
    retention.passOverHours()
    retention.wake(11, NOW_MS)
    expect(proposed, 'at once').toEqual([20])
  })
})
