/** Counts the system calls of a process by name with `strace -c`. It slows the process down many times over: no other figure of that time means anything. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

export interface SystemCall {
  readonly name: string
  readonly count: number
}

export class SystemCalls {
  readonly #strace: ChildProcess
  #text = ''

  private constructor(strace: ChildProcess) {
    this.#strace = strace
    strace.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      this.#text += piece
    })
  }

  /** @returns null where there is no strace. */
  static async start(pid: number): Promise<SystemCalls | null> {
    const strace = spawn('strace', ['-f', '-c', '-S', 'calls', '-p', String(pid)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const calls = new SystemCalls(strace)
    try {
      await once(strace, 'spawn')
    } catch {
      // Not installed.
      return null
    }
    while (!calls.#text.includes('attached') && strace.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 20))
    return calls
  }

  /** The most frequent first. */
  async stop(): Promise<SystemCall[]> {
    const ended = once(this.#strace, 'close')
    this.#strace.kill('SIGINT')
    await ended
    const rows: SystemCall[] = []
    for (const line of this.#text.split('\n')) {
      // % time, seconds, usecs/call, calls, [errors], name
      const row = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$/.exec(line)
      if (row?.[2] !== undefined && row[2] !== 'total') rows.push({ name: row[2], count: Number(row[1]) })
    }
    return rows
  }
}
