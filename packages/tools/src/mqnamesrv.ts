/** `mqnamesrv`: one namesrv. It writes nothing; several of them know nothing of each other. */
import { nearestName, systemClock } from '@dledger-ts/base'
import { Namesrv } from '@dledger-ts/namesrv'
import { Registry } from 'prom-client'
import { NAMESRV_KEYS, parseNamesrvConfig } from './namesrv-config.ts'
import { collectProcessMetrics } from './server/process-metrics.ts'
import { writePidFile } from './server/pid-files.ts'
import { closeOnSignal, command, createLogger, fail, VERSION } from './server/program.ts'
import { changePropertiesFile, readPropertiesFile } from './server/properties-file.ts'
import { StatusServer } from './server/status-server.ts'
import { withTlsFile } from './server/tls-file.ts'

const PROGRAM = 'mqnamesrv'

interface Flags {
  readonly port?: string
  readonly configFile?: string
  readonly printConfigItem?: boolean
}

function warn(line: string): void {
  process.stderr.write(`${PROGRAM}: warning: ${line}\n`)
}

async function main(flags: Flags): Promise<void> {
  const file = flags.configFile === undefined ? null : readPropertiesFile(flags.configFile)
  const { values, warnings } = withTlsFile(file)
  if (flags.port !== undefined) values['listenPort'] = flags.port
  const { config, unknown, withoutEffect } = parseNamesrvConfig(values)
  for (const line of warnings) warn(line)
  for (const key of unknown) {
    warn(`${key}=${values[key] ?? ''} is not a known key; the nearest is ${nearestName(key, NAMESRV_KEYS)}`)
  }
  for (const key of withoutEffect)
    warn(`${key}=${values[key] ?? ''} is a key of Apache's namesrv that changes nothing here`)
  if (flags.printConfigItem === true) {
    process.stdout.write(
      Object.entries(config)
        .map(([key, value]) => `${key}=${key.endsWith('Password') && value !== '' ? '***' : String(value)}\n`)
        .join(''),
    )
    return
  }

  const logger = createLogger(PROGRAM)
  const { configFile } = flags
  const namesrv = new Namesrv({
    host: config.bindAddress,
    port: config.listenPort,
    scanIntervalMs: config.scanNotActiveBrokerInterval,
    orderMessageEnable: config.orderMessageEnable,
    returnOrderTopicConfigToBroker: config.returnOrderTopicConfigToBroker,
    ...(configFile === undefined ? {} : { saveConfig: (changes) => changePropertiesFile(configFile, changes) }),
    clock: systemClock,
    logger,
    tls: config,
  })
  await namesrv.start()
  const metrics = new Registry()
  collectProcessMetrics(metrics)
  const http = await StatusServer.start({
    host: config.metricsPromExporterHost,
    port: config.metricsPromExporterPort,
    healthy: () => true,
    status: () => ({ pid: process.pid, addr: namesrv.address(), up: true }),
    metrics,
    onError: (error) => logger.warn({ err: error }, 'the status server had an error'),
  })
  writePidFile('namesrv', warn)
  closeOnSignal(
    async () => {
      await namesrv.close()
      await http.close()
    },
    (error) => logger.error({ err: error }, 'the namesrv did not close cleanly'),
  )
  logger.info({ address: namesrv.address() }, 'the namesrv runs')
}

command(PROGRAM)
  .description('Runs a namesrv: brokers register with it, clients ask it for routes.')
  .option('--port <PORT>', 'port for brokers and clients (default: listenPort of the file, 9876)')
  .option('-c, --configFile <FILE>', 'a properties file with the keys of Apache RocketMQ')
  .option('-p, --printConfigItem', 'print the effective configuration and exit')
  .version(VERSION)
  .action((flags: Flags) => main(flags).catch((error: unknown) => fail(PROGRAM, error)))
  .parse()
