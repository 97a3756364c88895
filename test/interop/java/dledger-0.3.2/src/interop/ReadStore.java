package interop;

import io.openmessaging.storage.dledger.DLedgerConfig;
import io.openmessaging.storage.dledger.MemberState;
import io.openmessaging.storage.dledger.entry.DLedgerEntry;
import io.openmessaging.storage.dledger.store.file.DLedgerMmapFileStore;
import java.util.zip.CRC32;

/**
 * Loads and recovers a member's directory with Apache's own classes and prints what they find there:
 * "range first last", then "entry index term pos size bodyCrc" for each.
 */
public final class ReadStore {
    public static void main(String[] args) {
        DLedgerConfig config = new DLedgerConfig();
        config.setStoreBaseDir(args[0]);
        config.setSelfId(args[1]);
        config.setGroup("g");
        config.setPeers(args[1] + "-localhost:20911");
        config.setMappedFileSizeForEntryData(Integer.parseInt(args[2]));
        config.setMappedFileSizeForEntryIndex(Integer.parseInt(args[3]));
        DLedgerMmapFileStore store = new DLedgerMmapFileStore(config, new MemberState(config));
        store.load();
        store.recover();
        StringBuilder out = new StringBuilder();
        out.append("range ").append(store.getLedgerBeginIndex()).append(' ').append(store.getLedgerEndIndex()).append('\n');
        for (long index = Math.max(0, store.getLedgerBeginIndex()); index <= store.getLedgerEndIndex(); index++) {
            DLedgerEntry entry = store.get(index);
            CRC32 crc = new CRC32();
            crc.update(entry.getBody());
            out.append("entry ").append(entry.getIndex()).append(' ').append(entry.getTerm()).append(' ').append(entry.getPos())
                .append(' ').append(entry.getSize()).append(' ').append(crc.getValue()).append('\n');
        }
        System.out.print(out);
        System.out.flush();
        // Nothing that it maps needs to be written back.
        Runtime.getRuntime().halt(0);
    }
}
