/**
 * This broker itself: its configuration (26) and its figures of this moment (28), under the keys that Apache's tools read.
 *
 * There is no pool of threads whose queues could be long, no page cache to wait for, nothing between a committed message and a visible one:
 * the figures for those are 0, which is the truth here. Figures that are not known are left out.
 *
 * Source: AdminBrokerProcessor.prepareRuntimeInfo, StoreStatsService.getRuntimeInfo, DefaultMessageStore.getRuntimeInfo.
 */
import {
  createResponse,
  dataVersionText,
  encodeKvTable,
  GetBrokerConfigResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { SystemTopic } from '@dledger-ts/protocol'
import { printConfig } from '../../config/config.ts'
import type { BrokerContext } from '../../context.ts'
import { type DiskSpace, diskSpace } from '../../disk-space.ts'
import type { DayTotals, Rates } from '../../statistics/broker-statistics.ts'
import { type Processor, WAITING_REQUESTS_MAX } from '../registry.ts'

/** Of OUR_VERSION, as MQVersion describes it. */
const VERSION_TEXT = 'V5_3_3'
/** Java's Integer.MAX_VALUE: no pool of buffers is used. */
const NO_BUFFER_POOL = '2147483647'
const POOLS = ['send', 'pull', 'litePull', 'query', 'ack'] as const
const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

export function runtimeProcessors(context: BrokerContext): [number, Processor][] {
  const { config, statistics } = context

  function brokerConfig(): RemotingCommand {
    const version = dataVersionText({
      counter: context.configVersion(),
      stateVersion: 0,
      timestamp: statistics.startedMs,
    })
    // What is no key here, and what exportConfigs of tools before 5.0 fails without.
    const brokerId = context.store.isReady() ? 0 : config.slaveId
    const body = Buffer.from(`${printConfig(config)}brokerId=${brokerId}\nfilterServerNums=0\nuseTLS=false\n`)
    return GetBrokerConfigResponse.response(ResponseCode.SUCCESS, { version }, undefined, body)
  }

  async function runtimeInfo(): Promise<RemotingCommand> {
    const space = await diskSpace(config.storePathRootDir)
    const logSpace = await diskSpace(config.storePathCommitLog)
    const table = new Map([
      ...Object.entries(ownFigures(context)),
      ...Object.entries(countedFigures(context)),
      ...Object.entries(await storedFigures(context)),
      ...spaceFigures(config.storePathCommitLog, space, logSpace ?? space),
      ...poolFigures(),
    ])
    return createResponse(ResponseCode.SUCCESS, undefined, undefined, encodeKvTable(table))
  }

  return [
    [RequestCode.GET_BROKER_CONFIG, { served: 'here', handle: brokerConfig }],
    [RequestCode.GET_BROKER_RUNTIME_INFO, { served: 'here', handle: runtimeInfo }],
  ]
}

function ownFigures({ clock, statistics, store }: BrokerContext): Record<string, string> {
  const startedMs = String(statistics.startedMs)
  return {
    brokerVersionDesc: VERSION_TEXT,
    // With Apache whether it delivers delayed messages and asks for transactions: the leader does.
    brokerActive: String(store.isReady()),
    bootTimestamp: startedMs,
    startAcceptSendRequestTimeStamp: startedMs,
    runtime: runtimeText(clock.nowMs() - statistics.startedMs),
  }
}

function countedFigures({ statistics }: BrokerContext): Record<string, string> {
  const { messages, bytes, refused } = statistics.putTotals
  const found = statistics.foundRates
  const missed = statistics.missRates
  return {
    ...dayFigures('msgPutTotal', statistics.putsByDay),
    ...dayFigures('msgGetTotal', statistics.getsByDay),
    putTps: ratesText(statistics.putRates),
    getFoundTps: ratesText(found),
    getMissTps: ratesText(missed),
    getTotalTps: ratesText([found[0] + missed[0], found[1] + missed[1], found[2] + missed[2]]),
    getTransferredTps: ratesText(statistics.transferredRates),
    // As tools before 5.0 spell it; their clusterList shows nothing without it.
    getTransferedTps: ratesText(statistics.transferredRates),
    putMessageTimesTotal: String(messages),
    putMessageFailedTimes: String(refused),
    putMessageSizeTotal: String(bytes),
    putMessageAverageSize: String(messages === 0 ? 0 : bytes / messages),
    putMessageEntireTimeMax: String(Math.round(statistics.putTimes.maxMs)),
    putMessageDistributeTime: statistics.putTimes.distribution(),
    putLatency99: statistics.putTimes.percentileMs(0.99).toFixed(2),
    putLatency999: statistics.putTimes.percentileMs(0.999).toFixed(2),
    getMessageEntireTimeMax: String(Math.round(statistics.getTimes.maxMs)),
  }
}

async function storedFigures({ store, statistics }: BrokerContext): Promise<Record<string, string>> {
  const { maxPhysicalOffset } = store.status()
  const figures: Record<string, string> = {
    commitLogMinOffset: String(Math.max(0, maxPhysicalOffset - store.statistics().log.bytes)),
    commitLogMaxOffset: String(maxPhysicalOffset),
    earliestMessageTimeStamp: String(await store.oldestStoreTime()),
    dispatchBehindBytes: '0',
    dispatchMaxBuffer: '0',
    pageCacheLockTimeMills: '0',
    remainTransientStoreBufferNumbs: NO_BUFFER_POOL,
    // Timers are rows in the order of their time, not read ahead of it.
    timerReadBehind: '0',
    timerOffsetBehind: '0',
    timerCongestNum: '0',
    timerEnqueueTps: String(statistics.topicPutTps(SystemTopic.WHEEL_TIMER)),
  }
  for (const [level, offset] of store.delayOffsets()) {
    figures[`scheduleMessageOffset_${level}`] = `${offset},${store.maxOffset(SystemTopic.SCHEDULE, level - 1)}`
  }
  return figures
}

function spaceFigures(logPath: string, space: DiskSpace | null, logSpace: DiskSpace | null): [string, string][] {
  const figures: [string, string][] = []
  if (logSpace !== null) {
    const used = usedPart(logSpace)
    figures.push(['commitLogDiskRatio', used], [`commitLogDiskRatio_${logPath}`, used])
  }
  if (space !== null) {
    const { totalBytes, freeBytes } = space
    figures.push(
      ['consumeQueueDiskRatio', usedPart(space)],
      ['commitLogDirCapacity', `Total : ${bytesText(totalBytes)}, Free : ${bytesText(freeBytes)}.`],
    )
  }
  return figures
}

function poolFigures(): [string, string][] {
  const capacity = String(WAITING_REQUESTS_MAX)
  const figures = POOLS.flatMap((pool): [string, string][] => [
    [`${pool}ThreadPoolQueueSize`, '0'],
    [`${pool}ThreadPoolQueueCapacity`, capacity],
    [`${pool}ThreadPoolQueueHeadWaitTimeMills`, '0'],
  ])
  return [...figures, ['EndTransactionQueueSize', '0'], ['EndTransactionThreadPoolQueueCapacity', capacity]]
}

function dayFigures(name: string, { yesterdayMorning, todayMorning, now }: DayTotals): Record<string, string> {
  return {
    [`${name}YesterdayMorning`]: String(yesterdayMorning),
    [`${name}TodayMorning`]: String(todayMorning),
    [`${name}TodayNow`]: String(now),
  }
}

function ratesText(rates: Rates): string {
  return rates.join(' ')
}

function usedPart({ totalBytes, freeBytes }: DiskSpace): string {
  return String(totalBytes === 0 ? 0 : (totalBytes - freeBytes) / totalBytes)
}

function runtimeText(ms: number): string {
  const days = Math.floor(ms / DAY_MS)
  const hours = Math.floor((ms % DAY_MS) / HOUR_MS)
  const minutes = Math.floor((ms % HOUR_MS) / MINUTE_MS)
  const seconds = Math.floor((ms % MINUTE_MS) / SECOND_MS)
  return `[ ${days} days, ${hours} hours, ${minutes} minutes, ${seconds} seconds ]`
}

/** Source: MixAll.humanReadableByteCount, by 1024. */
function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const power = Math.min(6, Math.floor(Math.log(bytes) / Math.log(1024)))
  return `${(bytes / 1024 ** power).toFixed(1)} ${'KMGTPE'[power - 1]}iB`
}
