/**
 * `npm run test:interop`: real, unmodified clients against real servers. The program is main.ts, built by bootstrap.mjs.
 *
 *   --only NAME[,NAME]                only these suites: dledger-0.3.2, store-5.5.0, acl-5.5.0, classic-5.5.0, tls-5.5.0, mqadmin-5.5.0, java-5.5.0, java-4.9.8, go-2.1.2, …
 *   --namesrv ADDR --no-failover      against a group that runs already, ours or Apache's, without killing anything
 *   --group-script PATH               another script with the interface of scripts/fast-try.sh
 */
import { main } from '../dist/interop/main.js'

process.exitCode = await main(process.argv.slice(2))
