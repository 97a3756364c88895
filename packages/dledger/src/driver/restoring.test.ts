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
function received(restore: () => StateRestore): { disk: HandleDisk; failures: Error[]; make: () => Restoring } {
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
      snapshot: { index: 7, id: 'id', bytes: 10, isWhole: true },
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
  await new Promise((resolve) => setImmediate(resolve))
  expect(failures.map(({ message }) => message)).toEqual(['oops'])
  restoring.abort()
  expect(disk.open).toEqual([])
})
