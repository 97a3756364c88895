/**
 * A program that makes loads, as a child: it is told a workload in a line, says `begin` and `end` around what is measured,
 * and `done {JSON}` or `error REASON` at last. Between `begin` and `end` the kernel's counters of the servers are taken, so
 * every client is measured alike.
 */
import type { ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { kill, type Launch, startChild } from '../children.ts'
import { between, type Counters, read, type Used } from '../counters.ts'

export type Settings = Readonly<Record<string, string | number>>

/** What the program counted; what a workload does not count is missing. */
export interface Answer {
  readonly messages?: number
  readonly seconds?: number
  readonly failed?: number
  readonly failure?: string
  readonly p50Ms?: number
  readonly p99Ms?: number
  readonly p999Ms?: number
  readonly firstMs?: number
  readonly gapMs?: number
  /** Where the one listens that acknowledged. */
  readonly port?: number
}

export interface Measured {
  readonly answer: Answer
  /** null for a workload that marks no part of itself. */
  readonly used: Used | null
}

/** Longer than any workload takes. */
const ANSWER_WITHIN_MS = 420_000

interface Waiting {
  readonly servers: readonly number[]
  before: Counters | null
  used: Used | null
  readonly resolve: (measured: Measured) => void
  readonly reject: (failure: Error) => void
}

export class LoadProgram {
  readonly #child: ChildProcess
  #waiting: Waiting | null = null
  #ended: Error | null = null

  /** @param logFile what it says beside answers. */
  static async start(launch: Launch, logFile: string): Promise<LoadProgram> {
    const program = new LoadProgram(launch, logFile)
    await program.#wait([], () => {})
    return program
  }

  private constructor(launch: Launch, logFile: string) {
    const log = openSync(logFile, 'w')
    const child = startChild(launch, ['pipe', 'pipe', log])
    closeSync(log)
    this.#child = child
    if (child.stdout === null || child.stdin === null) throw new Error('a child without pipes')
    createInterface({ input: child.stdout }).on('line', (line) => this.#line(line))
    child.stdin.on('error', (failure: Error) => this.#end(failure))
    child.once('error', (failure) => this.#end(failure))
    child.once('close', (status, signal) => this.#end(new Error(`the load ended with ${status ?? signal}; ${logFile}`)))
  }

  get isOver(): boolean {
    return this.#ended !== null
  }

  /** @throws Error for an answer that is an error, or that takes too long; the program is over then. */
  run(workload: string, settings: Settings, servers: readonly number[]): Promise<Measured> {
    const words = Object.entries(settings).map(([key, value]) => `${key}=${value}`)
    return this.#wait(servers, () => this.#child.stdin?.write(`${[workload, ...words].join(' ')}\n`))
  }

  async stop(): Promise<void> {
    await kill(this.#child)
  }

  async #wait(servers: readonly number[], ask: () => void): Promise<Measured> {
    if (this.#ended !== null) throw this.#ended
    if (this.#waiting !== null) throw new Error('one workload at a time')
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<Measured>((resolve, reject) => {
        this.#waiting = { servers, before: null, used: null, resolve, reject }
        timer = setTimeout(() => {
          this.#end(new Error('the load does not answer'))
          this.#child.kill('SIGKILL')
        }, ANSWER_WITHIN_MS)
        ask()
      })
    } finally {
      clearTimeout(timer)
      this.#waiting = null
    }
  }

  #line(line: string): void {
    const waiting = this.#waiting
    if (waiting === null) return
    const space = line.indexOf(' ')
    const word = space < 0 ? line : line.slice(0, space)
    const rest = space < 0 ? '' : line.slice(space + 1)
    switch (word) {
      case 'ready':
        waiting.resolve({ answer: {}, used: null })
        break
      case 'begin':
        waiting.before = read(waiting.servers, this.#child.pid ?? null)
        break
      case 'end':
        if (waiting.before !== null) {
          waiting.used = between(waiting.before, read(waiting.servers, this.#child.pid ?? null))
        }
        break
      case 'done':
        waiting.resolve({ answer: JSON.parse(rest) as Answer, used: waiting.used })
        break
      case 'error':
        waiting.reject(new Error(rest))
        break
      default:
      // A library's own words.
    }
  }

  #end(failure: Error): void {
    this.#ended ??= failure
    this.#waiting?.reject(this.#ended)
  }
}
