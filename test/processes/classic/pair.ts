/** A name server, and brokers of one name of which one is the master by configuration: as processes, with what clients ask of them. */
import {
  createRequest,
  decodeClusterInfo,
  RemotingClient,
  type RemotingCommand,
  RequestCode,
} from '@dledger-ts/remoting'
import { decodeRecord, recordBody } from '@dledger-ts/protocol'
import { freePorts } from '@dledger-ts/dledger/internals'
import { pullFields } from '../group/pull-fields.ts'
import type { ServerProcess } from '../group/server-process.ts'
import { until } from '../group/until.ts'
import { healthy, LOG_FILE_BYTES, type Settings, Workplace } from '../servers/single-server.ts'

const ANSWER_TIMEOUT_MS = 10_000
const SOON_MS = 30_000
export const TOPIC = 'TopicTest'

export type Role = 'ASYNC_MASTER' | 'SYNC_MASTER' | 'SLAVE'

interface Place {
  readonly directory: string
  readonly listenPort: number
  readonly haListenPort: number
  readonly metricsPort: number
}

export interface BrokersOptions {
  /** The address of a name server that runs; else one of ours is started. */
  readonly namesrv?: string
  /** Keys of every broker. */
  readonly keys?: Settings
}

export class Brokers {
  readonly workplace: Workplace
  readonly namesrv: string
  readonly #keys: Settings
  readonly #places: readonly Place[]
  readonly #servers = new Map<string, ServerProcess>()
  readonly #client = new RemotingClient()

  private constructor(workplace: Workplace, namesrv: string, places: readonly Place[], keys: Settings) {
    this.workplace = workplace
    this.namesrv = namesrv
    this.#places = places
    this.#keys = keys
  }

  static async begin({ namesrv, keys = {} }: BrokersOptions = {}): Promise<Brokers> {
    const workplace = new Workplace()
    const [port = 0, metricsPort = 0, ...rest] = await freePorts(2 + 3 * 3)
    if (namesrv === undefined) {
      const conf = workplace.configuration('namesrv.conf', { metricsPromExporterPort: metricsPort })
      await healthy(workplace.launch('mqnamesrv', ['--port', String(port), '-c', conf]), metricsPort)
    }
    const places = ['a', 'b', 'c'].map((directory, i) => ({
      directory,
      listenPort: rest[3 * i] as number,
      haListenPort: rest[3 * i + 1] as number,
      metricsPort: rest[3 * i + 2] as number,
    }))
    return new Brokers(workplace, namesrv ?? `127.0.0.1:${port}`, places, keys)
  }

  /** Starts the broker of that directory, without a look at what becomes of it. */
  launch(directory: string, brokerRole: Role, keys: Settings = {}): ServerProcess {
    const place = this.#place(directory)
    const settings = {
      brokerClusterName: 'TestCluster',
      brokerName: 'pair',
      brokerRole,
      brokerId: brokerRole === 'SLAVE' ? 1 : 0,
      brokerIP1: '127.0.0.1',
      bindAddress: '127.0.0.1',
      listenPort: place.listenPort,
      haListenPort: place.haListenPort,
      namesrvAddr: this.namesrv,
      storePathRootDir: this.workplace.path(directory),
      mappedFileSizeCommitLog: LOG_FILE_BYTES,
      metricsPromExporterPort: place.metricsPort,
      ...this.#keys,
      ...keys,
    }
    const server = this.workplace.launch('mqbroker', [
      '-c',
      this.workplace.configuration(`${directory}.conf`, settings),
    ])
    this.#servers.set(directory, server)
    return server
  }

  /** The same, and waits until it serves its role. */
  async start(directory: string, brokerRole: Role, keys: Settings = {}): Promise<void> {
    await healthy(this.launch(directory, brokerRole, keys), this.#place(directory).metricsPort)
  }

  async stop(directory: string): Promise<void> {
    await this.#server(directory).stop()
  }

  signal(directory: string, signal: NodeJS.Signals): void {
    this.#server(directory).signal(signal)
  }

  launchedAs(directory: string): ServerProcess {
    return this.#server(directory)
  }

  async kill(directory: string): Promise<void> {
    this.signal(directory, 'SIGKILL')
    await this.#server(directory).ended
  }

  address(directory: string): string {
    return `127.0.0.1:${this.#place(directory).listenPort}`
  }

  /** SEND_MESSAGE_V2 to queue 0. */
  send(directory: string, body: string, properties = ''): Promise<RemotingCommand> {
    const fields = {
      a: 'pg',
      b: TOPIC,
      c: 'TBW102',
      d: '4',
      e: '0',
      f: '0',
      g: '1700000000000',
      h: '0',
      j: '0',
      k: 'false',
      m: 'false',
    }
    const request = createRequest(RequestCode.SEND_MESSAGE_V2, { ...fields, i: properties }, Buffer.from(body))
    return this.#client.invoke(this.address(directory), request, ANSWER_TIMEOUT_MS)
  }

  /** Sends one after another. @returns the codes of the answers, each once. */
  async sendAll(directory: string, bodies: readonly string[]): Promise<number[]> {
    const codes = new Set<number>()
    for (const body of bodies) codes.add((await this.send(directory, body)).code)
    return [...codes]
  }

  /** All messages of queue 0 that this broker gives to who pulls. */
  async pull(directory: string): Promise<string[]> {
    const bodies: string[] = []
    for (;;) {
      const wish = { consumerGroup: 'g', topic: TOPIC, queueOffset: bodies.length }
      const request = createRequest(RequestCode.PULL_MESSAGE, pullFields(wish))
      const { code, bodyBytes } = await this.#client.invoke(this.address(directory), request, ANSWER_TIMEOUT_MS)
      if (code !== 0) return bodies
      for (let at = 0; at < bodyBytes.length; at += bodyBytes.readInt32BE(at)) {
        const record = bodyBytes.subarray(at, at + bodyBytes.readInt32BE(at))
        decodeRecord(record)
        bodies.push(recordBody(record).toString())
      }
    }
  }

  async untilPulled(directory: string, bodies: readonly string[]): Promise<void> {
    const wanted = JSON.stringify(bodies)
    await until(`${directory} has ${bodies.length} messages`, SOON_MS, async () =>
      JSON.stringify(await this.pull(directory)) === wanted ? true : undefined,
    )
  }

  /** Which address the name server lists under which broker id. */
  async listed(): Promise<Record<string, string>> {
    const request = createRequest(RequestCode.GET_BROKER_CLUSTER_INFO)
    const { bodyBytes } = await this.#client.invoke(this.namesrv, request, ANSWER_TIMEOUT_MS)
    return Object.fromEntries(decodeClusterInfo(bodyBytes).brokerAddrTable.get('pair')?.brokerAddrs ?? [])
  }

  async untilListed(wanted: Record<string, string>): Promise<void> {
    await until(`the name server lists ${JSON.stringify(wanted)}`, SOON_MS, async () => {
      const listed = await this.listed()
      const ids = Object.keys(wanted)
      return ids.length === Object.keys(listed).length && ids.every((id) => listed[id] === wanted[id])
        ? true
        : undefined
    })
  }

  /** Until that broker has applied all that the other one has now. */
  async untilLevel(directory: string, other: string): Promise<void> {
    const { lastIndex } = await this.status(other)
    await until(`${directory} has all of ${other}`, SOON_MS, async () =>
      (await this.status(directory)).appliedIndex >= lastIndex ? true : undefined,
    )
  }

  async status(
    directory: string,
  ): Promise<{ readonly lastIndex: number; readonly appliedIndex: number; readonly role: string }> {
    const response = await fetch(`http://127.0.0.1:${this.#place(directory).metricsPort}/status`)
    return (await response.json()) as { lastIndex: number; appliedIndex: number; role: string }
  }

  async close(): Promise<void> {
    this.#client.close()
    await this.workplace.close()
  }

  #place(directory: string): Place {
    return this.#places.find((each) => each.directory === directory) as Place
  }

  #server(directory: string): ServerProcess {
    return this.#servers.get(directory) as ServerProcess
  }
}
