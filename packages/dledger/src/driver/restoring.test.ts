import { crc32 } from '@dledger-ts/base'
import { expect, test } from 'vitest'
import { HandleDisk } from '../disk/testing/handle-disk.ts'
import type { StateMachine, StateRestore } from '../state-machine.ts'
import type { OpenedMember } from './open-member.ts'
import { Restoring } from './restoring.ts'

const STATE = '/m/incoming/state'
const oops = (): never => {
  throw new Error('oops')
}
const good: StateRestore = {
  write: (_, callback) => void setImmediate(() => callback(null)),
  commit: (callback) => void setImmediate(() => callback(null)),
  abort: () => {},
}

/** A state of ten bytes that was received, for a state machine that takes it in by `restore`. */
function received(
  restore: () => StateRestore,
  { bytes = 10, crc = crc32(Buffer.alloc(10)) }: { readonly bytes?: number; readonly crc?: number | undefined } = {},
): { disk: HandleDisk; failures: Error[]; make: () => Restoring } {
  const disk = new HandleDisk()
  disk.makeDirectorySync('/m/incoming')
  const file = disk.openSync(STATE, { create: true })
  file.writeSync(Buffer.alloc(10), 0)
  file.closeSync()
  const failures: Error[] = []
  const guarded = (work: () => void): void => {
    try {
      work()
    } catch (error) {
      failures.push(error as Error)
    }
  }
  const make = (): Restoring =>
    new Restoring({
      disk,
      directory: '/m',
      member: { writeHardState: (_, callback) => callback(null) } as OpenedMember,
      stateMachine: { restore } as unknown as StateMachine,
      snapshot: { index: 7, id: 'id', bytes, isWhole: true, ...(crc === undefined ? {} : { crc }) },
      whileRunning: guarded,
      onRestored: () => {},
      onFailed: (error) => void failures.push(error),
    })
  return { disk, failures, make }
}

test('a state machine that cannot begin leaves no file open', () => {
  const { disk, make } = received(oops)
  expect(make).toThrow('oops')
  expect(disk.open).toEqual([])
})

test('a state machine that throws at a piece is heard by the member', async () => {
  const { disk, failures, make } = received(() => ({ ...good, write: oops }))
  const restoring = make()
  restoring.start()
  await until(() => failures.length > 0)
  expect(failures.map(({ message }) => message)).toEqual(['oops'])
  restoring.abort()
  expect(disk.open).toEqual([])
})

test.each([
  { name: 'it has other bytes', known: { crc: 1 } },
  { name: 'it is shorter', known: { bytes: 11, crc: crc32(Buffer.alloc(11)) } },
  { name: 'it is shorter, and nobody knows its checksum', known: { bytes: 11, crc: undefined } },
])('a state that is not what was received is given to nobody: $name', async ({ known }) => {
  const given: string[] = []
  const { disk, failures, make } = received(
    () => ({
      write: () => void given.push('a piece'),
      commit: () => void given.push('all of it'),
      abort: () => void given.push('nothing'),
    }),
    known,
  )
  make().start()
  await until(() => failures.length > 0)
  expect(failures).toMatchObject([{ code: 'CORRUPT', detail: { file: STATE } }])
  expect(given).toEqual(['nothing'])
  await until(() => disk.open.length === 0)
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
