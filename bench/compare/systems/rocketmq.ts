/** A namesrv and three brokers on DLedger, Apache's or ours: the same configuration, started by their own commands. */
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { JAVA, jars, REPOSITORY } from '../build.ts'
import type { Launch } from '../children.ts'
import { somePorts } from '../ports.ts'
import { ServerProcesses } from './processes.ts'
import type { Servers, System } from './system.ts'

const HOST = '127.0.0.1'
const MEMBERS = [0, 1, 2]

type Program = 'namesrv' | 'broker'
/** How one server is started: its program, its configuration file and a directory for what else it writes. */
type Launcher = (program: Program, conf: string, directory: string) => Launch

type Settings = Readonly<Record<string, string | number>>

/** @param common what namesrv and brokers are told beside the usual. */
async function startGroup(launcher: Launcher, common: Settings, ofBrokers: Settings): Promise<Servers> {
  const [namesrvPort, ...ports] = (await somePorts(7)) as [number, ...number[]]
  const namesrv = `${HOST}:${namesrvPort}`
  const peers = MEMBERS.map((i) => `n${i}-${HOST}:${ports[3 + i]}`).join(';')
  const group = new ServerProcesses(namesrv)
  const start = (name: string, program: Program, port: number | null, lines: Settings): void => {
    const directory = group.directory(name)
    const conf = join(directory, 'conf')
    writeFileSync(
      conf,
      Object.entries(lines)
        .map(([key, value]) => `${key}=${value}\n`)
        .join(''),
    )
    group.start(name, port, launcher(program, conf, directory))
  }
  start('namesrv', 'namesrv', null, { ...common, listenPort: namesrvPort, bindAddress: HOST })
  for (const i of MEMBERS) {
    const port = ports[i] as number
    const store = join(group.directory(`n${i}`), 'store')
    start(`n${i}`, 'broker', port, {
      brokerClusterName: 'RaftCluster',
      brokerName: 'RaftNode00',
      brokerIP1: HOST,
      bindAddress: HOST,
      listenPort: port,
      namesrvAddr: namesrv,
      storePathRootDir: store,
      storePathCommitLog: join(store, 'commitlog'),
      enableDLegerCommitLog: 'true',
      dLegerGroup: 'RaftNode00',
      dLegerPeers: peers,
      dLegerSelfId: `n${i}`,
      ...common,
      ...ofBrokers,
    })
  }
  return group
}

/** Packages whose insides Apache's servers reach into. */
const OPENED = [
  '--add-opens=java.base/java.nio',
  '--add-opens=java.base/sun.nio.ch',
  '--add-opens=java.base/jdk.internal.ref',
]
const EXPORTED = ['--add-exports=java.base/jdk.internal.ref', '--add-exports=java.base/sun.nio.ch']
/** Apache's own start scripts take 8 GiB for a broker and 4 for a namesrv, which a laptop has not. */
const HEAP: Readonly<Record<Program, readonly string[]>> = {
  namesrv: ['-Xms256m', '-Xmx256m'],
  broker: ['-Xms1g', '-Xmx1g', '-XX:MaxDirectMemorySize=1g'],
}
/** As Apache's start script of a broker has them. */
const COLLECTOR = [
  '-XX:+UseG1GC',
  '-XX:G1HeapRegionSize=16m',
  '-XX:G1ReservePercent=25',
  '-XX:InitiatingHeapOccupancyPercent=30',
  '-XX:SoftRefLRUPolicyMSPerMB=0',
]
const MAIN: Readonly<Record<Program, string>> = {
  namesrv: 'org.apache.rocketmq.namesrv.NamesrvStartup',
  broker: 'org.apache.rocketmq.broker.BrokerStartup',
}

/** @param batchPush DLedger's `enableBatchPush`, which is off by default. */
function apache(name: string, batchPush: boolean): System {
  let library = ''
  const launcher: Launcher = (program, conf, directory) => ({
    command: 'java',
    args: [
      '-server',
      ...HEAP[program],
      ...(program === 'broker' ? COLLECTOR : []),
      '-XX:-OmitStackTraceInFastThrow',
      ...[...OPENED, ...EXPORTED].map((option) => `${option}=ALL-UNNAMED`),
      `-Duser.home=${directory}`,
      '-cp',
      join(library, '*'),
      MAIN[program],
      '-c',
      conf,
    ],
    cwd: directory,
    env: { ROCKETMQ_HOME: directory },
  })
  return {
    name,
    version: `Apache RocketMQ 5.5.0 on DLedger${batchPush ? ', enableBatchPush=true' : ''}`,
    protocol: 'rocketmq',
    needs: JAVA,
    warmupSeconds: 15,
    async build() {
      library = await jars('rocketmq')
    },
    start: () =>
      startGroup(
        launcher,
        {},
        {
          // On DLedger an acknowledgement means page cache, whatever is said here.
          flushDiskType: 'ASYNC_FLUSH',
          enableBatchPush: String(batchPush),
          // As Apache's documentation of DLedger groups has it.
          sendMessageThreadPoolNums: 16,
          // Else a well-filled disk refuses messages.
          diskMaxUsedSpaceRatio: 95,
        },
      ),
  }
}

function ours(name: string, flush: 'ASYNC_FLUSH' | 'SYNC_FLUSH'): System {
  const launcher: Launcher = (program, conf, directory) => ({
    // As its users start it: the file's first line has what V8 is told before it runs.
    command: join(REPOSITORY, 'packages', 'tools', 'bin', `mq${program}.js`),
    args: ['-c', conf],
    cwd: directory,
    env: {
      DLEDGER_LOG_FILE: join(directory, 'log', `${program}.log`),
      // That line takes the first `node` there is.
      PATH: `${dirname(process.execPath)}:${process.env['PATH'] ?? ''}`,
    },
  })
  return {
    name,
    version: `${flush} on Node.js ${process.versions.node}`,
    protocol: 'rocketmq',
    needs: [],
    warmupSeconds: 15,
    async build() {},
    start: () =>
      // A port for metrics that nobody else has.
      startGroup(launcher, { metricsPromExporterPort: 0 }, { flushDiskType: flush, diskSpaceWarningLevelRatio: 100 }),
  }
}

export const APACHE: System = apache('apache', false)
export const APACHE_BATCH_PUSH: System = apache('apache-batch', true)
export const OURS_ASYNC: System = ours('ours-async', 'ASYNC_FLUSH')
export const OURS_SYNC: System = ours('ours-sync', 'SYNC_FLUSH')
