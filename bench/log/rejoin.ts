/**
 * A follower that was away comes back: `npm run bench:rejoin -- [--megabytes 1024] [--bytes 1024]`.
 *
 * Three processes over TCP, on this disk. A follower is killed, so many megabytes are written, it is started again: how long until
 * it has committed all of that, and what that costs the leader in memory. Once with everything still in the leader's log, once
 * with the log trimmed beyond what the follower has, so that it is given the files.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '@dledger-ts/dledger/internals'
import { measurement, wholeNumber } from '../options.ts'
import { answer } from './processes.ts'
import type { Memory, Observed, RejoinWish } from './rejoin-member.ts'

const { megabytes, bytes } = measurement('bench:rejoin', 'A follower that was away comes back.')
  .addOption(wholeNumber('--megabytes <count>', 'what is written while it is away', 1024))
  .addOption(wholeNumber('--bytes <count>', 'size of a body', 1024))
  .parse()
  .opts<{ megabytes: number; bytes: number }>()
const MEGABYTE = 1024 * 1024
/** More than one file: what is trimmed below the part that is to be given. */
const TRIMMED_MEGABYTES = 144

const directory = mkdtempSync(join(tmpdir(), 'bench-rejoin-'))
const ports = await freePorts(3)
const script = fileURLToPath(new URL('./rejoin-member.js', import.meta.url))
const start = (i: number): ChildProcess => fork(script, [join(directory, `n${i}`), `n${i}`, ports.join(',')])
const members = ports.map((_, i) => start(i))
try {
  const leader = await Promise.race(
    members.map(async (member) => {
      await answer(member, 'leads')
      return member
    }),
  )
  const away = members.findIndex((member) => member !== leader)
  const rows = {
    'ordinary catch-up': await rejoin(leader, away, { trims: false }),
    'by files, below the start of the log': await rejoin(leader, away, { trims: true }),
  }
  console.table(rows)
  console.log('memory: MiB of the leader before / at its peak / after; external has the array buffers in it')
  console.log('p50, p99: of appends at the leader meanwhile, one after the other, in ms')
} finally {
  await Promise.all(members.map((member) => kill(member)))
  rmSync(directory, { recursive: true, force: true })
}

async function rejoin(
  leader: ChildProcess,
  away: number,
  { trims }: { readonly trims: boolean },
): Promise<Record<string, string | number>> {
  await kill(members[away] as ChildProcess)
  const boundary = trims ? await append(leader, TRIMMED_MEGABYTES) : 0
  const lastIndex = await append(leader, megabytes)
  if (trims) await ask<number>(leader, { wish: 'trim', before: boundary }, 'firstIndex')
  await ask(leader, { wish: 'observe', bytes }, 'observing')
  const begun = performance.now()
  const member = start(away)
  members[away] = member
  await answer(member, 'opened')
  const openedAt = performance.now()
  const firstIndex = await ask<number>(member, { wish: 'level', index: lastIndex }, 'level')
  const seconds = (performance.now() - openedAt) / 1_000
  const { before, peak, after, p50, p99 } = await ask<Observed>(leader, { wish: 'observed' }, 'observed')
  if (firstIndex > 0 !== trims) throw new Error(`the follower's log starts with ${firstIndex}`)
  const memory = (name: keyof Memory): string =>
    [before, peak, after].map((at) => Math.round(at[name] / MEGABYTE)).join(' / ')
  return {
    'starts in s': Number(((openedAt - begun) / 1_000).toFixed(2)),
    'level after s': Number(seconds.toFixed(2)),
    'MB/s': Math.round(megabytes / seconds),
    RSS: memory('rss'),
    external: memory('external'),
    'array buffers': memory('arrayBuffers'),
    p50,
    p99,
  }
}

function append(leader: ChildProcess, wanted: number): Promise<number> {
  return ask(leader, { wish: 'append', count: Math.ceil((wanted * MEGABYTE) / bytes), bytes }, 'lastIndex')
}

function ask<Value>(member: ChildProcess, wish: RejoinWish, name: string): Promise<Value> {
  const asked = answer<Value>(member, name)
  member.send(wish)
  return asked
}

async function kill(member: ChildProcess): Promise<void> {
  if (member.exitCode !== null || member.signalCode !== null) return
  const ended = new Promise((resolve) => member.once('exit', resolve))
  member.kill('SIGKILL')
  await ended
}
