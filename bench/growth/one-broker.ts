/** A namesrv and one broker, a group of one, as processes with unused ports and a directory of their own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '@dledger-ts/dledger/internals'
import { statusPage } from '../group/metrics-page.ts'
import { probeEnvironment, profileTo } from '../group/probe-client.ts'

const BIN = fileURLToPath(new URL('../../../packages/tools/bin', import.meta.url))
const HOST = '127.0.0.1'
const SERVES_WITHIN_MS = 60_000
const LOOK_EVERY_MS = 50

type Conf = Readonly<Record<string, string | number>>

export class OneBroker {
  readonly namesrvAddress: string
  readonly address: string
  readonly #metricsPort: number
  readonly #directory: string
  readonly #broker: ChildProcess
  readonly #namesrv: ChildProcess

  private constructor(directory: string, ports: readonly number[], conf: Conf) {
    const [namesrvPort = 0, brokerPort = 0, metricsPort = 0] = ports
    this.#directory = directory
    this.#metricsPort = metricsPort
    this.namesrvAddress = `${HOST}:${namesrvPort}`
    this.address = `${HOST}:${brokerPort}`
    const namesrv = { listenPort: namesrvPort, bindAddress: HOST, metricsPromExporterPort: 0 }
    this.#namesrv = launch(directory, 'mqnamesrv', namesrv)
    this.#broker = launch(directory, 'mqbroker', {
      brokerName: 'growth',
      brokerIP1: HOST,
      bindAddress: HOST,
      listenPort: brokerPort,
      namesrvAddr: this.namesrvAddress,
      storePathRootDir: join(directory, 'store'),
      metricsPromExporterPort: metricsPort,
      diskSpaceWarningLevelRatio: 100,
      ...conf,
    })
  }

  /** @param conf keys of the broker's configuration, beside addresses and directories. */
  static async start(conf: Conf): Promise<OneBroker> {
    const directory = mkdtempSync(join(tmpdir(), 'bench-growth-'))
    mkdirSync(probes(directory))
    const one = new OneBroker(directory, await freePorts(3), conf)
    try {
      await one.#serves()
      return one
    } catch (error) {
      await one.stop()
      throw error
    }
  }

  get pid(): number {
    return this.#broker.pid as number
  }

  /** Resolves when the profile is written. */
  profile(seconds: number, file: string): Promise<void> {
    return profileTo(probes(this.#directory), this.pid, seconds, file)
  }

  async stop(): Promise<void> {
    await Promise.all(
      [this.#broker, this.#namesrv].map(async (one) => {
        if (one.exitCode !== null || one.signalCode !== null) return
        const ended = once(one, 'exit')
        one.kill('SIGTERM')
        await ended
      }),
    )
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #serves(): Promise<void> {
    const until = performance.now() + SERVES_WITHIN_MS
    while ((await this.#health()) !== 'ok\n') {
      if (this.#broker.exitCode !== null || performance.now() > until) {
        throw new Error(`the broker does not serve:\n${readFileSync(join(this.#directory, 'mqbroker.out'), 'utf8')}`)
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }

  async #health(): Promise<string | null> {
    try {
      return await statusPage(this.#metricsPort, '/health')
    } catch {
      // It does not listen yet.
      return null
    }
  }
}

function probes(directory: string): string {
  return join(directory, 'p')
}

function launch(directory: string, program: string, conf: Conf): ChildProcess {
  const file = join(directory, `${program}.conf`)
  const lines = Object.entries(conf).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(file, lines.join(''))
  const output = openSync(join(directory, `${program}.out`), 'a')
  const child = spawn(process.execPath, [join(BIN, `${program}.js`), '-c', file], {
    stdio: ['ignore', output, output],
    env: { ...process.env, ...probeEnvironment(probes(directory)), LOG_LEVEL: 'warn' },
  })
  closeSync(output)
  return child
}
