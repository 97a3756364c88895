/** What the group looks like now, asked of each broker's `/status`. */
import { pidIn } from './processes.ts'
import { BROKER_NAME, CLUSTER, HOST, namesrvAddress, type BrokerSettings, type Settings } from './settings.ts'

const ASK_WITHIN_MS = 1_000

export interface BrokerStatus {
  readonly id: string
  readonly pid: number | null
  readonly addr: string
  readonly brokerId: number | null
  readonly role: string | null
  readonly term: number | null
  readonly firstIndex: number | null
  readonly lastIndex: number | null
  readonly commitIndex: number | null
  readonly appliedIndex: number | null
  readonly up: boolean
  readonly storePath: string
}

export interface GroupStatus {
  readonly namesrv: string
  readonly cluster: string
  readonly brokerName: string
  /** Id of the member that leads and serves, or null. */
  readonly leader: string | null
  readonly term: number | null
  readonly brokers: readonly BrokerStatus[]
}

export async function groupStatus(settings: Settings): Promise<GroupStatus> {
  const brokers = await Promise.all(settings.brokers.map(brokerStatus))
  // A deposed leader that was paused may still think it leads: the newest term counts.
  const leaders = brokers.filter((broker) => broker.role === 'LEADER')
  const leader = leaders.toSorted((a, b) => (b.term ?? 0) - (a.term ?? 0))[0] ?? null
  const terms = brokers.flatMap((broker) => broker.term ?? [])
  return {
    namesrv: namesrvAddress(settings),
    cluster: CLUSTER,
    brokerName: BROKER_NAME,
    leader: leader?.id ?? null,
    term: leader?.term ?? (terms.length === 0 ? null : Math.max(...terms)),
    brokers,
  }
}

async function brokerStatus(broker: BrokerSettings): Promise<BrokerStatus> {
  const pid = pidIn(broker.directory)
  const down: BrokerStatus = {
    id: broker.id,
    pid,
    addr: `${HOST}:${broker.port}`,
    brokerId: null,
    role: null,
    term: null,
    firstIndex: null,
    lastIndex: null,
    commitIndex: null,
    appliedIndex: null,
    up: pid !== null,
    storePath: broker.storePath,
  }
  if (pid === null) return down
  try {
    const answer = await fetch(`http://${HOST}:${broker.metricsPort}/status`, {
      signal: AbortSignal.timeout(ASK_WITHIN_MS),
    })
    const told = (await answer.json()) as Partial<BrokerStatus>
    const { brokerId, role, term, firstIndex, lastIndex, commitIndex, appliedIndex } = { ...down, ...told }
    return { ...down, brokerId, role, term, firstIndex, lastIndex, commitIndex, appliedIndex }
  } catch {
    // Starting, paused or hanging: it runs, but says nothing.
    return down
  }
}
