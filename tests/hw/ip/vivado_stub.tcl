# Stands in for Vivado's packager, as far as package_ip.tcl uses it: objects with a class, an owner
# and properties. Getting what is not there, making it twice, setting a property of nothing, or
# calling anything that is not below, is an error. At the end `dump` prints the core.

namespace eval ipx {}
set objects [dict create]
set log {}

proc object {class name owner} {
    global objects
    set id "$class/$owner/$name"
    if {[dict exists $objects $id]} {
        error "stub: $class $name of $owner is there already"
    }
    dict set objects $id [dict create class $class name $name owner $owner]
    return $id
}

proc find {class name owner} {
    global objects
    set found {}
    dict for {id properties} $objects {
        if {[dict get $properties class] eq $class && [dict get $properties owner] eq $owner
                && [string match $name [dict get $properties name]]} {
            lappend found $id
        }
    }
    return $found
}

proc set_property {args} {
    global objects
    if {[lindex $args 0] eq "-dict"} {
        lassign $args flag values targets
    } else {
        lassign $args name value targets
        set values [list $name $value]
    }
    if {[llength $targets] == 0} {
        error "stub: set_property $values of nothing"
    }
    foreach id $targets {
        foreach {name value} $values {
            dict get $objects $id class
            dict set objects $id p:$name $value
        }
    }
}

proc get_property {name id} {
    global objects
    return [dict get $objects $id $name]
}

# Getters and makers of things that belong to others.
foreach {single plural class} {
    bus_interface bus_interfaces bus  bus_parameter bus_parameters parameter
    address_space address_spaces space  memory_map memory_maps map
    address_block address_blocks block  register registers register  field fields field
} {
    proc ipx::get_$plural {args} [string map [list CLASS $class] {
        if {[llength $args] == 3} {
            lassign $args name flag owner
        } else {
            lassign $args flag owner
            set name *
        }
        if {$flag ne "-of_objects"} {
            error "stub: $flag in the place of -of_objects"
        }
        return [find CLASS $name $owner]
    }]
    proc ipx::add_$single {name owner} [string map [list CLASS $class] {
        global objects
        dict get $objects $owner class
        return [object CLASS $name $owner]
    }]
    proc ipx::remove_$single {name owner} [string map [list CLASS $class] {
        global objects
        set objects [dict remove $objects [find CLASS $name $owner]]
    }]
}

foreach name {
    add_files update_compile_order close_project create_project
    ipx::create_xgui_files ipx::update_checksums ipx::check_integrity ipx::save_core
} {
    proc $name {args} "lappend ::log \[linsert \$args 0 $name\]"
}

proc current_fileset {} {
    return [lindex [concat [find fileset sources_1 project] [list fileset/project/sources_1]] 0]
}
object fileset sources_1 project

proc ipx::current_core {} {
    return core/ip/core
}

# Infers what the names of the wrapper's ports tell.
proc ipx::package_project {args} {
    lappend ::log [linsert $args 0 ipx::package_project]
    set core [object core core ip]
    foreach name $::env(STUB_INTERFACES) {
        object bus $name $core
    }
    object space inferred $core
    object map inferred $core
    object parameter FREQ_HZ bus/$core/aclk
}

proc ipx::associate_bus_interfaces {args} {
    lappend ::log [linsert $args 0 ipx::associate_bus_interfaces]
}

proc dump {} {
    foreach line $::log {
        puts "call $line"
    }
    dict for {id properties} $::objects {
        puts "object $id $properties"
    }
}

set argv [lassign $argv script]
source $script
dump
