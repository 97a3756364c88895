/** The server processes of one group, each with a directory of its own, and the end of all of them. */
import { type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { kill, type Launch, removeDirectory, startChild, temporaryDirectory } from '../children.ts'
import type { Servers } from './system.ts'

const STOP_WITHIN_MS = 5_000

interface Server {
  readonly name: string
  /** The port for clients, or null for one that keeps no data. */
  readonly port: number | null
  readonly child: ChildProcess
  readonly pid: number
}

export class ServerProcesses implements Servers {
  readonly address: string
  readonly #directory = temporaryDirectory()
  readonly #servers: Server[] = []
  #startedMs = Number.NaN

  constructor(address: string) {
    this.address = address
  }

  /** @returns a directory for one server. */
  directory(name: string): string {
    const directory = join(this.#directory, name)
    mkdirSync(directory, { recursive: true })
    return directory
  }

  start(name: string, port: number | null, launch: Launch): void {
    const output = openSync(this.#outputOf(name), 'w')
    if (Number.isNaN(this.#startedMs)) this.#startedMs = performance.now()
    const child = startChild(launch, ['ignore', output, output])
    closeSync(output)
    if (child.pid === undefined) throw new Error(`${launch.command} could not be started`)
    this.#servers.push({ name, port, child, pid: child.pid })
  }

  get startedMs(): number {
    return this.#startedMs
  }

  get pids(): number[] {
    return this.#servers.map(({ pid }) => pid)
  }

  get keeperPids(): number[] {
    return this.#servers.flatMap(({ port, pid }) => (port === null ? [] : [pid]))
  }

  pidAt(port: number): number {
    const server = this.#servers.find((one) => one.port === port)
    if (server === undefined) throw new Error(`no server at port ${port}`)
    return server.pid
  }

  checkAlive(): void {
    const ended = this.#servers.find(({ child }) => child.exitCode !== null || child.signalCode !== null)
    if (ended === undefined) return
    const output = readFileSync(this.#outputOf(ended.name), 'utf8').slice(-1_000)
    throw new Error(`${ended.name} has ended: ${output}`)
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#servers.map(async ({ child }) => {
        const late = setTimeout(() => void child.kill('SIGKILL'), STOP_WITHIN_MS)
        await kill(child, 'SIGTERM')
        clearTimeout(late)
      }),
    )
    removeDirectory(this.#directory)
  }

  #outputOf(name: string): string {
    return join(this.directory(name), 'output')
  }
}
