/** `mqbroker`: one member of a broker group. */
import { homedir, hostname } from 'node:os'
import { systemClock, systemRandom } from '@dledger-ts/base'
import { Broker, parseConfig, printConfig } from '@dledger-ts/broker'
import { brokerMetrics } from './server/broker-metrics.ts'
import { setUpV8 } from './server/v8.ts'
import { writePidFile } from './server/pid-files.ts'
import { closeOnSignal, command, createLogger, fail, ownAddress, VERSION } from './server/program.ts'
import { changePropertiesFile, readPropertiesFile } from './server/properties-file.ts'
import { StatusServer } from './server/status-server.ts'
import { withTlsFile } from './server/tls-file.ts'

const PROGRAM = 'mqbroker'

interface Flags {
  readonly namesrvAddr?: string
  readonly configFile?: string
  readonly printConfigItem?: boolean
}

function warn(line: string): void {
  process.stderr.write(`${PROGRAM}: warning: ${line}\n`)
}

async function main(flags: Flags): Promise<void> {
  const file = flags.configFile === undefined ? null : readPropertiesFile(flags.configFile)
  const { values, warnings } = withTlsFile(file)
  const namesrvAddr = flags.namesrvAddr ?? values['namesrvAddr'] ?? process.env['NAMESRV_ADDR']
  if (namesrvAddr !== undefined) values['namesrvAddr'] = namesrvAddr
  const home = values['rocketmqHome'] ?? process.env['ROCKETMQ_HOME']
  if (home !== undefined) values['rocketmqHome'] = home
  const parsed = parseConfig(values, { homeDirectory: homedir(), hostName: hostname(), address: ownAddress() })
  for (const warning of [...warnings, ...parsed.warnings]) warn(warning)
  const { config } = parsed
  if (flags.printConfigItem === true) {
    process.stdout.write(printConfig(config))
    return
  }

  setUpV8()
  const logger = createLogger(PROGRAM)
  const { configFile } = flags
  const broker = new Broker(config, {
    clock: systemClock,
    random: systemRandom,
    logger,
    onFatal: (error) => fail(PROGRAM, error),
    ...(configFile === undefined ? {} : { saveConfig: (changes) => changePropertiesFile(configFile, changes) }),
  })
  // First, so that a busy port changes nothing on disk.
  const http = await StatusServer.start({
    host: config.metricsPromExporterHost,
    port: config.metricsPromExporterPort,
    healthy: () => broker.healthy(),
    status: () => broker.status(),
    metrics: brokerMetrics(broker),
    onError: (error) => logger.warn({ err: error }, 'the status server had an error'),
  })
  writePidFile('broker', warn)
  const starting = broker.start()
  // It may be stopped while it starts, too: what it has opened by then is closed as ever.
  closeOnSignal(
    async () => {
      logger.info({}, 'closing')
      await broker.close()
      await starting
      await http.close()
    },
    (error) => logger.error({ err: error }, 'the broker did not close cleanly'),
  )
  await starting
  if (broker.status().up) logger.info({ ...broker.status() }, `the broker runs at ${broker.address}`)
}

command(PROGRAM)
  .description('Runs a message broker: a group of one, or one member of a replicated group (dLegerPeers).')
  .option('-n, --namesrvAddr <ADDR;ADDR>', 'namesrv addresses (default: the file, then $NAMESRV_ADDR)')
  .option('-c, --configFile <FILE>', 'broker.conf: a properties file with the keys of Apache RocketMQ')
  .option('-p, --printConfigItem', 'print the effective configuration and exit')
  .version(VERSION)
  .action((flags: Flags) => main(flags).catch((error: unknown) => fail(PROGRAM, error)))
  .parse()
