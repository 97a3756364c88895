/**
 * An embedded log beside what the machine gives: `npm run bench:log -- [--seconds 4] [--bytes 1024]`.
 *
 * The floor of one synchronous append is one write with its fdatasync, and in a group a round trip more: the leader's own disk
 * works at the same time as the followers'.
 */
import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DLedger, type FlushDiskType } from '@dledger-ts/dledger'
import { measurement, wholeNumber } from '../options.ts'
import { roundTripFloor, syncFloor } from './floor.ts'
import { load, type LoadResult } from './load.ts'
import { freePorts } from '@dledger-ts/dledger/internals'
import { answer } from './processes.ts'

const { seconds, bytes } = measurement('bench:log', 'An embedded log beside what the machine gives.')
  .addOption(wholeNumber('--seconds <count>', 'how long each load runs', 4))
  .addOption(wholeNumber('--bytes <count>', 'size of a body', 1024))
  .parse()
  .opts<{ seconds: number; bytes: number }>()
const IN_FLIGHT = [1, 16, 256]
const MODES: readonly FlushDiskType[] = ['SYNC_FLUSH', 'ASYNC_FLUSH']

const syncs = await syncFloor(bytes + 48, seconds)
const trips = await roundTripFloor(bytes + 48)
console.log(`the floor of this machine, ${bytes} bytes and an entry's header, one after the other:`)
console.table({ 'write and fdatasync': syncs, 'round trip between two processes': trips })

const rows: Record<string, LoadResult & { 'p50 : floor'?: number }> = {}
for (const flush of MODES) {
  for (const inFlight of IN_FLIGHT) {
    const result = await alone(flush, inFlight)
    rows[`one member, ${flush}, ${inFlight} in flight`] =
      flush === 'SYNC_FLUSH' && inFlight === 1 ? { ...result, 'p50 : floor': ratio(result.p50, syncs.p50) } : result
  }
}
for (const flush of MODES) {
  const group = await startGroup(flush)
  for (const inFlight of IN_FLIGHT) {
    const result = await group.load(inFlight)
    const floor = trips.p50 + (flush === 'SYNC_FLUSH' ? syncs.p50 : 0)
    rows[`three members, ${flush}, ${inFlight} in flight`] =
      inFlight === 1 ? { ...result, 'p50 : floor': ratio(result.p50, floor) } : result
  }
  await group.stop()
}
console.table(rows)
console.log('cpuMicros: CPU for each append, of all members together')

function ratio(value: number, floor: number): number {
  return Number((value / floor).toFixed(2))
}

async function alone(flushDiskType: FlushDiskType, inFlight: number): Promise<LoadResult> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-log-'))
  const log = await DLedger.open({ directory, flushDiskType })
  try {
    return await load(log, { inFlight, bytes, seconds })
  } finally {
    await log.close()
    rmSync(directory, { recursive: true, force: true })
  }
}

interface Group {
  load(inFlight: number): Promise<LoadResult>
  stop(): Promise<void>
}

async function startGroup(flush: FlushDiskType): Promise<Group> {
  const directory = mkdtempSync(join(tmpdir(), 'bench-log-'))
  const ports = await freePorts(3)
  const script = fileURLToPath(new URL('./member.js', import.meta.url))
  const members = ports.map((_, i) => fork(script, [join(directory, `n${i}`), `n${i}`, ports.join(','), flush]))
  const leader = await Promise.race(
    members.map(async (member) => {
      await answer(member, 'leads')
      return member
    }),
  )
  const cpuOfAll = async (): Promise<number> => {
    const used = await Promise.all(
      members.map((member) => {
        const asked = answer<number>(member, 'cpu')
        member.send('cpu')
        return asked
      }),
    )
    return used.reduce((sum, one) => sum + one, 0)
  }
  return {
    async load(inFlight) {
      const before = await cpuOfAll()
      const begun = performance.now()
      const done = answer<LoadResult>(leader, 'result')
      leader.send({ inFlight, bytes, seconds })
      const result = await done
      // The warm-up is in it, at the same rate.
      const appends = (result.perSecond * (performance.now() - begun)) / 1_000
      return { ...result, cpuMicros: Number((((await cpuOfAll()) - before) / appends).toFixed(1)) }
    },
    async stop() {
      await Promise.all(
        members.map(async (member) => {
          const ended = new Promise((resolve) => member.once('exit', resolve))
          member.disconnect()
          await ended
        }),
      )
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
