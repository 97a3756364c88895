/** The store's errors as clients see them: the code decides whether they ask again. */
import { StoreError, type StoreErrorDetail } from '@dledger-ts/store'
import { expect, test } from 'vitest'
import { refusalOf } from './refusal.ts'

const V4_9_8 = 409
const V5_0_0 = 413

const rows: { detail: StoreErrorDetail; version: number; code: number }[] = [
  { detail: { code: 'NOT_LEADER', leader: 'n1' }, version: V5_0_0, code: 14 },
  { detail: { code: 'CLOSED' }, version: V5_0_0, code: 14 },
  { detail: { code: 'OUTDATED', what: 'w' }, version: V5_0_0, code: 14 },
  { detail: { code: 'DISK_FULL' }, version: V5_0_0, code: 14 },
  { detail: { code: 'REBUILDING' }, version: V5_0_0, code: 14 },
  { detail: { code: 'BUSY' }, version: V5_0_0, code: 2 },
  { detail: { code: 'BUSY' }, version: V4_9_8, code: 14 },
  { detail: { code: 'TIMEOUT' }, version: V5_0_0, code: 1 },
  { detail: { code: 'TOO_LARGE', what: 'record', bytes: 2, bytesMax: 1 }, version: V5_0_0, code: 13 },
  { detail: { code: 'INVALID', what: 'name' }, version: V5_0_0, code: 13 },
  { detail: { code: 'STORAGE_FAILED', what: 'disk' }, version: V5_0_0, code: 1 },
  { detail: { code: 'CORRUPT', what: 'record', physicalOffset: 1 }, version: V5_0_0, code: 1 },
]

test.each(rows)('$detail.code to a client of version $version is $code', ({ detail, version, code }) => {
  const refusal = refusalOf(new StoreError('why', detail), version)
  expect(refusal.code).toBe(code)
  expect(refusal.remark).not.toBe('')
})
