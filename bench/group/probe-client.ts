/** Asks a broker that has `probe.ts` in it. */
import { connect } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Stall } from './stall-log.ts'

export type ProbeWish =
  | { readonly ask: 'allocations' }
  | { readonly ask: 'stalls' }
  | { readonly ask: 'profile'; readonly seconds: number; readonly file: string }

export interface Allocated {
  /** Objects of the heap; memory of buffers beyond it is not counted. */
  readonly heapBytes: number
  readonly gcMicros: number
  readonly collections: number
}

/** What a group's servers need in their environment. @param directory a short path: sockets have 108 bytes for it. */
export function probeEnvironment(directory: string): NodeJS.ProcessEnv {
  const probe = new URL('./probe.js', import.meta.url)
  const others = process.env['NODE_OPTIONS'] ?? ''
  return { BENCH_PROBE_DIR: directory, NODE_OPTIONS: `${others} --import=${fileURLToPath(probe)}`.trim() }
}

export function probeSocket(directory: string, pid: number): string {
  return join(directory, `${pid}.sock`)
}

export function allocatedSince(directory: string, pid: number): Promise<Allocated> {
  return ask(directory, pid, { ask: 'allocations' }) as Promise<Allocated>
}

/** The first time it begins to look. */
export function stallsSince(directory: string, pid: number): Promise<Stall[]> {
  return ask(directory, pid, { ask: 'stalls' }) as Promise<Stall[]>
}

/** Resolves when the profile is written. */
export async function profileTo(directory: string, pid: number, seconds: number, file: string): Promise<void> {
  await ask(directory, pid, { ask: 'profile', seconds, file })
}

function ask(directory: string, pid: number, wish: ProbeWish): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(probeSocket(directory, pid))
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (piece: string) => {
      text += piece
      if (!text.endsWith('\n')) return
      socket.destroy()
      resolve(JSON.parse(text))
    })
    socket.on('error', reject)
    socket.on('end', () => reject(new Error('the broker has ended')))
    socket.write(`${JSON.stringify(wish)}\n`)
  })
}
